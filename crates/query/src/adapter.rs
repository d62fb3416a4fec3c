use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};
use model::fold;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY as FIELD_ID;

/// Binds a file's columns to the table's by field id, never by name: a column that took over the
/// name of another must not read its values. Adopted files alone have no ids; theirs are bound by name, which is safe
/// because a change of a column's type writes them anew.
#[derive(Debug)]
pub struct ByFieldId;

#[derive(Debug)]
struct Adapter {
    inner: Arc<dyn PhysicalExprAdapter>,
    physical: SchemaRef,
}

impl PhysicalExprAdapterFactory for ByFieldId {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let fields = physical.fields().iter().enumerate().map(|(i, field)| {
            let id = field.metadata().get(FIELD_ID);
            let bound = logical.fields().iter().find(|l| match id {
                Some(_) => l.metadata().get(FIELD_ID) == id,
                None => *l.name() == fold(field.name()),
            });
            // a column that the table has lost gets a name that nothing asks for
            let name = bound.map_or_else(|| format!("\u{0}{i}"), |l| l.name().clone());
            Arc::new(Field::clone(field).with_name(name))
        });
        let renamed = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let inner = DefaultPhysicalExprAdapterFactory.create(logical, renamed)?;
        Ok(Arc::new(Adapter { inner, physical }))
    }
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let bound = self.inner.rewrite(expr)?;
        // below, readers look statistics up by the file's own names
        let renamed = bound.transform(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            let name = self.physical.field(column.index()).name();
            Ok(Transformed::yes(Arc::new(Column::new(name, column.index())) as Arc<dyn PhysicalExpr>))
        })?;
        Ok(renamed.data)
    }
}
