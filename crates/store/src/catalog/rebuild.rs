//! A damaged catalog made anew: from its rolling copy, or from nothing, and then from what data files say of themselves
//! in their footers and from the log.
//!
//! A file that another says it replaces is set aside; a flush of which files are missing was never committed, so the log
//! has its rows. Where only the log knows a table or a column, its number is its name.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use model::column::{ColumnType, Role, TIME, TIME_NS};
use model::schema::type_of;
use model::{Column, ColumnId, Lsn, TableId, TableMode, fold};
use rusqlite::params;

use super::anew::{CatalogRepair, go_ahead, set_meta};
use super::lake::{Draft, Lake};
use super::load::Loaded;
use crate::adopt;
use crate::blocks::Sums;
use crate::error::{Error, Result};
use crate::file::{self, Maker, NewDataFile, Provenance};
use crate::layout::Layout;
use crate::log;
use crate::record;

/// The database of tables that only the log knows.
const RECOVERED: &str = "recovered";

/// A data file that the catalog does not know.
struct Stray {
    path: PathBuf,
    table: TableId,
    /// Below the table's folder.
    name: String,
    provenance: Provenance,
    /// As the catalog shall have it; LSNs and producer are those of the provenance.
    file: NewDataFile,
    /// Its columns have no ids.
    is_foreign: bool,
}

/// The folders of a table: `{slug}-{id}/` each.
struct Place {
    database: u64,
    folders: [String; 2],
}

/// Brings what lies in the folder into an opened catalog; what it did not use is left where it is, and returned.
pub(super) fn bring_in(
    lake: &Lake,
    loaded: &Loaded,
    layout: &Layout,
    now_us: i64,
    report: &mut CatalogRepair,
) -> Result<Vec<PathBuf>> {
    let unknown = layout.unknown_files(&loaded.files).into_iter();
    let mut places: BTreeMap<TableId, Place> = BTreeMap::new();
    let (mut strays, mut unused) = (Vec::new(), Vec::new());
    for path in unknown.filter(|path| path.extension().is_some_and(|e| e == "parquet")) {
        match Stray::read(&path, layout, &mut places) {
            Ok(stray) => strays.push(stray),
            Err(error) => {
                report.unsure.push(format!("{}: {error}", path.display()));
                unused.push(path);
            }
        }
    }
    strays.sort_by(|a, b| (a.provenance.lsn_max, &a.name).cmp(&(b.provenance.lsn_max, &b.name)));
    let mut by_table: BTreeMap<TableId, Vec<Stray>> = BTreeMap::new();
    for stray in strays {
        by_table.entry(stray.table).or_default().push(stray);
    }
    let given = lake.next_catalog_id()?;
    let mut draft = lake.begin()?;
    let mut flushed: HashMap<TableId, Lsn> = loaded.view.tables.iter().map(|(id, t)| (*id, t.flushed)).collect();
    for (table, strays) in by_table {
        // a table of an id that the copy had given, and that it has no more, was dropped
        let is_dropped = !loaded.view.tables.contains_key(&table) && table.0 < given;
        let (used, left) = if is_dropped { (Vec::new(), strays) } else { choose(strays, loaded, table) };
        unused.extend(left.into_iter().map(|stray| stray.path));
        if let Some(last) = used.last() {
            let mode = last.provenance.mode;
            make_table(lake, &mut draft, loaded, &places[&table], table, mode, now_us)?;
            let moved = add(lake, &mut draft, loaded, table, used, report)?;
            let known = flushed.entry(table).or_default();
            if moved > *known {
                lake.set_watermark(&super::hex(&loaded.log_id), table, moved)?;
                *known = moved;
            }
        }
    }
    learn_of_log(lake, &mut draft, (loaded, given), layout, &flushed, now_us, report)?;
    lake.finish(&draft, now_us)?;
    // ids that were given after the copy are not given again: records of the log may name them
    go_ahead(&lake.connection)?;
    lake.execute_batch("COMMIT")?;
    Ok(unused)
}

impl Stray {
    fn read(path: &Path, layout: &Layout, places: &mut BTreeMap<TableId, Place>) -> Result<Self> {
        let below = path.strip_prefix(layout.data()).ok().and_then(Path::to_str).unwrap_or_default();
        let mut parts = below.splitn(3, '/');
        let id = |folder: Option<&str>| folder.and_then(|f| f.rsplit_once('-')?.1.parse::<u64>().ok());
        let (database, table, name) = (parts.next(), parts.next(), parts.next());
        let (Some(database_id), Some(table_id), Some(name)) = (id(database), id(table), name) else {
            return Err(Error::Damaged("it lies in no table's folder".into()));
        };
        let folders = [database, table].map(|folder| format!("{}/", folder.unwrap_or_default()));
        let table = TableId(table_id);
        let reader = file::reader(path)?;
        let metadata = reader.metadata();
        let fields = reader.schema().fields();
        let ids: Vec<Option<ColumnId>> = fields.iter().map(|field| file::field_id(field)).collect();
        let provenance = match Provenance::read(metadata) {
            Some(provenance) => provenance,
            None => {
                // an earlier version's: its name begins with its greatest LSN
                let leaf = name.rsplit('/').next().unwrap_or_default();
                let lsn = leaf.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
                let columns = fields.iter().zip(&ids).map(|(field, id)| {
                    let ty = match fold(field.name()).as_str() {
                        TIME => ColumnType::Timestamp,
                        TIME_NS => ColumnType::Int16,
                        _ => adopt::stored(field.data_type()).0.unwrap_or(ColumnType::Utf8),
                    };
                    let role = if [TIME, TIME_NS].contains(&&*fold(field.name())) { Role::Time } else { Role::None };
                    (id.unwrap_or_default(), field.name().clone(), ty, role)
                });
                Provenance {
                    by: Maker::Flush,
                    mode: TableMode::Append,
                    lsn_min: Lsn(lsn),
                    lsn_max: Lsn(lsn),
                    producer: 0,
                    columns: columns.collect(),
                    sort_key: Vec::new(),
                    parts: 1,
                    replaces: Vec::new(),
                }
            }
        };
        let time = fields.iter().position(|field| fold(field.name()) == TIME);
        let time = time.ok_or_else(|| Error::Damaged("it has no column \"time\"".into()))?;
        let (time_min, time_max) = adopt::times(metadata, time, fields[time].data_type()).map_err(Error::Damaged)?;
        let Sums { bytes, crc32c, blocks } = file::checksum(path)?;
        places.entry(table).or_insert(Place { database: database_id, folders });
        let file = NewDataFile {
            path: name.to_owned(),
            rows: metadata.file_metadata().num_rows().max(0) as u64,
            bytes,
            footer_bytes: adopt::footer_bytes(path, bytes)?,
            crc32c,
            blocks,
            time_min,
            time_max,
            time_column: ids[time].unwrap_or(ColumnId(1)),
            sort_key: provenance.sort_key.clone(),
            // they only prune: the next merge finds them out
            bounds: Vec::new(),
            lsn_min: provenance.lsn_min,
            lsn_max: provenance.lsn_max,
            producer: provenance.producer,
            names: None,
        };
        let is_foreign = ids.iter().any(Option::is_none);
        Ok(Self { path: path.to_owned(), table, name: name.to_owned(), provenance, file, is_foreign })
    }

    fn holds(&self, column: ColumnId) -> bool {
        !self.is_foreign && self.provenance.columns.iter().any(|(id, ..)| *id == column)
    }
}

/// Which files of a table are used, and which are not.
fn choose(mut strays: Vec<Stray>, loaded: &Loaded, table: TableId) -> (Vec<Stray>, Vec<Stray>) {
    let known = loaded.view.tables.get(&table);
    let replaced = |strays: &[Stray]| -> HashSet<String> {
        strays.iter().flat_map(|s| s.provenance.replaces.iter().cloned()).collect()
    };
    let mut left = Vec::new();
    // a change of type is done when no file holds the old column; else it was cut short
    let gone = replaced(&strays);
    let mut ids: BTreeMap<String, BTreeSet<ColumnId>> = BTreeMap::new();
    let named = strays.iter().filter(|s| !s.is_foreign).flat_map(|s| &s.provenance.columns);
    let named = named.map(|(id, name, ..)| (fold(name), *id));
    let of_catalog = known.iter().flat_map(|t| t.info.schema.columns()).map(|c| (fold(&c.name), c.id));
    for (name, id) in named.chain(of_catalog) {
        ids.entry(name).or_default().insert(id);
    }
    for same in ids.into_values().filter(|same| same.len() > 1) {
        for (old, new) in same.iter().zip(same.iter().skip(1)) {
            let by_stray = strays.iter().any(|s| s.holds(*old) && !gone.contains(file::stem(&s.name)));
            let by_known = known.is_some_and(|t| {
                t.info.schema.by_id(*old).is_some() && t.files.iter().any(|f| !gone.contains(file::stem(&f.path)))
            });
            if by_stray || by_known {
                let (unfinished, kept) = strays.into_iter().partition(|s| s.holds(*new));
                strays = kept;
                left.extend::<Vec<Stray>>(unfinished);
            }
        }
    }
    let gone = replaced(&strays);
    let mut parts: HashMap<(Lsn, Lsn), usize> = HashMap::new();
    for stray in strays.iter().filter(|s| s.provenance.by == Maker::Flush) {
        *parts.entry((stray.provenance.lsn_min, stray.provenance.lsn_max)).or_default() += 1;
    }
    let rewritten = strays.iter().filter(|s| s.provenance.by == Maker::Rewrite).map(|s| s.provenance.lsn_max).max();
    let is_used = |stray: &Stray| {
        let said = &stray.provenance;
        let is_whole = said.by != Maker::Flush
            || parts[&(said.lsn_min, said.lsn_max)] >= said.parts
            || rewritten.is_some_and(|lsn| lsn >= said.lsn_max);
        !gone.contains(file::stem(&stray.name)) && is_whole
    };
    let (used, unused): (Vec<Stray>, Vec<Stray>) = strays.into_iter().partition(is_used);
    left.extend(unused);
    (used, left)
}

/// Makes a table and its database, where they are missing, with the ids and in the folders that they had.
fn make_table(
    lake: &Lake,
    draft: &mut Draft,
    loaded: &Loaded,
    place: &Place,
    table: TableId,
    mode: TableMode,
    now_us: i64,
) -> Result<()> {
    if loaded.view.tables.contains_key(&table) {
        return Ok(());
    }
    let [database, folder] = &place.folders;
    lake.restore_database(draft, place.database, &named(database), database, now_us)?;
    lake.restore_table(draft, table, place.database, &named(folder), folder, mode)
}

/// The name behind `{slug}-{id}/`.
fn named(folder: &str) -> String {
    let slug = folder.rsplit_once('-').map_or(folder, |(slug, _)| slug);
    percent_encoding::percent_decode_str(slug).decode_utf8_lossy().into_owned()
}

/// Adds files to a table with the columns that it lacks; the greatest LSN of a client's row among them.
fn add(
    lake: &Lake,
    draft: &mut Draft,
    loaded: &Loaded,
    table: TableId,
    used: Vec<Stray>,
    report: &mut CatalogRepair,
) -> Result<Lsn> {
    let known = loaded.view.tables.get(&table);
    let mut live: BTreeMap<ColumnId, Column> =
        known.iter().flat_map(|t| t.info.schema.columns()).map(|c| (c.id, c.clone())).collect();
    let mut held: HashSet<ColumnId> = HashSet::new();
    let mut moved = Lsn(0);
    let ended: HashSet<&str> = used.iter().flat_map(|s| s.provenance.replaces.iter().map(String::as_str)).collect();
    let ended = known.iter().flat_map(|t| &t.files).filter(|f| ended.contains(file::stem(&f.path))).map(|f| f.id);
    lake.end_files(draft, table, &ended.collect::<Vec<_>>(), super::ReplacementKind::Merge)?;
    let mut files = Vec::with_capacity(used.len());
    for mut stray in used {
        let mut names = Vec::new();
        for (id, name, ty, role) in &stray.provenance.columns {
            let same = live.values().find(|c| fold(&c.name) == fold(name)).map(|c| c.id);
            let id = match (stray.is_foreign, same) {
                (true, Some(same)) => same,
                (true, None) => ColumnId(live.keys().map(|id| id.0).max().unwrap_or(0) + 1),
                (false, _) => *id,
            };
            if let Some(old) = same.filter(|old| *old < id) {
                live.remove(&old);
                lake.end_column(draft, table, old, id)?;
            }
            let column = || {
                let name = name.as_str().into();
                Column { id, name, ty: *ty, role: *role, provisional: false, persisted: true }
            };
            if !live.contains_key(&id) && same.is_none_or(|old| old <= id) {
                lake.add_column(draft, table, &column())?;
                live.insert(id, column());
            }
            held.insert(id);
            names.push((name.clone(), id));
        }
        if stray.is_foreign {
            stray.file.names = Some(names.into());
        }
        let time = live.values().find(|c| &*c.name == TIME).map(|c| c.id);
        stray.file.time_column = time.unwrap_or(stray.file.time_column);
        if stray.provenance.producer == 0 {
            moved = moved.max(stray.provenance.lsn_max);
        }
        report.found.push(stray.path.clone());
        files.push(stray.file);
    }
    for file in &files {
        lake.add_file(draft, table, file, None, file.rows)?;
    }
    lake.persist_columns(table, &held.into_iter().collect::<Vec<_>>())?;
    lake.count_rows(table)?;
    Ok(moved)
}

/// Makes the tables and columns that only records of the log know, so that a start can replay these.
fn learn_of_log(
    lake: &Lake,
    draft: &mut Draft,
    (loaded, given): (&Loaded, u64),
    layout: &Layout,
    flushed: &HashMap<TableId, Lsn>,
    now_us: i64,
    report: &mut CatalogRepair,
) -> Result<()> {
    let mut seen: BTreeMap<TableId, BTreeMap<ColumnId, ColumnType>> = BTreeMap::new();
    let mut rows: BTreeMap<TableId, usize> = BTreeMap::new();
    let mut each = |lsn: Lsn, body: &[u8]| {
        for part in record::decode(body)?.0 {
            let is_dropped = !flushed.contains_key(&part.table) && part.table.0 < given;
            if is_dropped || flushed.get(&part.table).is_some_and(|to| lsn <= *to) {
                continue;
            }
            *rows.entry(part.table).or_default() += part.rows;
            let columns = seen.entry(part.table).or_default();
            for (id, column) in &part.columns {
                columns.insert(*id, type_of(column.values.data_type()).unwrap_or(ColumnType::Utf8));
            }
        }
        Ok(())
    };
    if layout.side().exists() {
        log::recover(&layout.side(), &loaded.log_id, &mut each)?;
    }
    log::recover(&layout.log(), &loaded.log_id, &mut each)?;
    for (table, columns) in seen {
        let is_new = !flushed.contains_key(&table);
        if is_new {
            // its folder has no other: ids are never given twice
            let (database, folder) =
                (format!("{RECOVERED}-{}/", u64::from(u32::MAX)), format!("table_{table}-{table}/"));
            lake.restore_database(draft, u64::from(u32::MAX), RECOVERED, &database, now_us)?;
            lake.restore_table(
                draft,
                table,
                u64::from(u32::MAX),
                &format!("table_{table}"),
                &folder,
                TableMode::Append,
            )?;
            report.unsure.push(format!(
                "{} rows of the log belong to a table that no file names: they are {RECOVERED}.table_{table}",
                rows[&table]
            ));
        }
        let known = lake.column_ids(table)?;
        let casts = loaded.view.tables.get(&table).map(|t| t.info.casts.clone()).unwrap_or_default();
        for (id, ty) in columns {
            if known.contains(&id) || casts.iter().any(|(from, ..)| *from == id) {
                continue;
            }
            let (name, role) = match ty {
                ColumnType::Timestamp => (TIME.to_owned(), Role::Time),
                ColumnType::Int16 => (TIME_NS.to_owned(), Role::Time),
                _ => (format!("column_{id}"), Role::None),
            };
            if role == Role::None {
                report.unsure.push(format!("table {table}: the log has a column that no file names: it is {name}"));
            }
            let name = name.as_str().into();
            let column = Column { id, name, ty, role, provisional: false, persisted: false };
            lake.add_column(draft, table, &column)?;
        }
    }
    Ok(())
}

/// An empty catalog that goes on with the log that lies in the folder.
pub(super) fn begin(layout: &Layout, now_us: i64) -> Result<()> {
    let mut connection = super::connect(&layout.catalog())?;
    super::schema::bootstrap(&mut connection, layout, now_us)?;
    if let Some(log_id) = log::id_of(&layout.log())? {
        set_meta(&connection, "log_id", &super::hex(&log_id))?;
    }
    Ok(())
}

impl Lake {
    fn restore_database(&self, draft: &mut Draft, id: u64, name: &str, path: &str, now_us: i64) -> Result<()> {
        let sql = "SELECT count(*) FILTER (WHERE schema_id = ?1),
                   count(*) FILTER (WHERE end_snapshot IS NULL AND lower(schema_name) = lower(?2)) FROM ducklake_schema";
        let (known, taken): (u64, u64) =
            self.connection.query_row(sql, params![id, name], |r| Ok((r.get(0)?, r.get(1)?)))?;
        match (known, taken) {
            (0, 0) => self.add_database(draft, id, name, path, now_us),
            // one of a name that another has now gets a number
            (0, _) => self.add_database(draft, id, &format!("{name}_{id}"), path, now_us),
            _ => Ok(()),
        }
    }

    fn restore_table(
        &self,
        draft: &mut Draft,
        table: TableId,
        database: u64,
        name: &str,
        path: &str,
        mode: TableMode,
    ) -> Result<()> {
        let sql = "SELECT count(*) FROM ducklake_table
                   WHERE schema_id = ? AND lower(table_name) = lower(?) AND end_snapshot IS NULL";
        let taken: u64 = self.connection.query_row(sql, params![database, name], |r| r.get(0))?;
        let name = if taken == 0 { name.to_owned() } else { format!("{name}_{table}") };
        self.add_table(draft, table, database, &name, path, mode)
    }

    fn set_watermark(&self, log_id: &str, table: TableId, to: Lsn) -> Result<()> {
        self.connection.execute(
            "INSERT INTO tw_flushed VALUES (?1, ?2, ?3) ON CONFLICT (log_id, table_id) DO UPDATE SET lsn = ?3",
            params![log_id, table.0, to.0],
        )?;
        Ok(())
    }

    /// Makes the table's count that of its live files.
    fn count_rows(&self, table: TableId) -> Result<()> {
        self.connection.execute(
            "UPDATE ducklake_table_stats SET record_count = (SELECT coalesce(sum(record_count), 0)
             FROM ducklake_data_file WHERE table_id = ?1 AND end_snapshot IS NULL) WHERE table_id = ?1",
            [table.0],
        )?;
        Ok(())
    }

    fn next_catalog_id(&self) -> Result<u64> {
        let sql = "SELECT next_catalog_id FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1";
        Ok(self.connection.query_row(sql, [], |r| r.get(0))?)
    }

    fn column_ids(&self, table: TableId) -> Result<HashSet<ColumnId>> {
        let mut statement = self.connection.prepare("SELECT column_id FROM tw_column WHERE table_id = ?")?;
        let found = statement.query_map([table.0], |r| Ok(ColumnId(r.get(0)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests;
