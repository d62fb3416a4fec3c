//! Plans as protobuf, so that another process with the same files can run them. What a scan needs
//! beyond the protobuf (columns bound by field id) follows from the schema it carries.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use crate::adapter::ByFieldId;
use crate::hot::HotExec;
use crate::lastpoint::LatestExec;

/// # Errors
/// The plan holds a node that protobuf has no form for.
pub fn encode(plan: Arc<dyn ExecutionPlan>) -> Result<Bytes> {
    physical_plan_to_bytes_with_extension_codec(plan, &Codec)
}

/// `context` knows the functions and the object store.
///
/// # Errors
/// The bytes are not a plan, or name a function that the context lacks.
pub fn decode(bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = physical_plan_from_bytes_with_extension_codec(bytes, context, &Codec)?;
    let bound = plan.transform_up(|node| {
        let Some(source) = node.downcast_ref::<DataSourceExec>() else { return Ok(Transformed::no(node)) };
        let Some(files) = source.data_source().downcast_ref::<FileScanConfig>() else {
            return Ok(Transformed::no(node));
        };
        let config = FileScanConfigBuilder::from(files.clone()).with_expr_adapter(Some(Arc::new(ByFieldId))).build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(bound.data)
}

/// Nodes of our own leave as ordinary scans of the same rows.
#[derive(Debug)]
struct Codec;

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        decode(bytes, context)
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        out: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let ordinary = if let Some(latest) = node.downcast_ref::<LatestExec>() {
            latest.whole()?
        } else if let Some(hot) = node.downcast_ref::<HotExec>() {
            Arc::clone(&hot.rows)
        } else {
            return Err(DataFusionError::NotImplemented(format!("{} cannot leave the process", node.name())));
        };
        out.extend(encode(ordinary)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
