//! The schema and its versions: numbered steps forward, a backup before the first of them, and an
//! error for databases that are newer than this version or another program's.

use crate::error::StoreError;
use beadle_model::Timestamp;
use rusqlite::{Connection, ErrorCode};
use std::path::{Path, PathBuf};

/// Step n migrates version n - 1 to n. Never change a released step; add another.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../schema/0001.sql"),
    include_str!("../schema/0002.sql"),
    include_str!("../schema/0003.sql"),
    include_str!("../schema/0004.sql"),
    include_str!("../schema/0005.sql"),
    include_str!("../schema/0006.sql"),
    include_str!("../schema/0007.sql"),
    include_str!("../schema/0008.sql"),
    include_str!("../schema/0009.sql"),
    include_str!("../schema/0010.sql"),
    include_str!("../schema/0011.sql"),
];

/// `Bead`: marks the file as a Beadle database.
const APPLICATION_ID: i64 = 0x4265_6164;

/// The number of backups to keep; each is as large as the database.
const BACKUPS: usize = 3;

/// Migrates the database to the newest version. `path` is its file, for the backup and for errors.
pub(crate) fn migrate(
    conn: &mut Connection,
    path: &Path,
    migrations: &[&str],
    now: Timestamp,
) -> Result<(), StoreError> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let found = version(conn, path)?;
    if found > known {
        return Err(StoreError::Newer { path: path.into(), found, known });
    }
    if 0 < found && found < known {
        let backup = back_up(conn, path, found, now)?;
        tracing::info!(from = found, to = known, backup = %backup.display(), "migrating the database");
    }
    for (number, sql) in (1..).zip(migrations).skip_while(|(number, _)| *number <= found) {
        let step = conn.transaction()?;
        step.execute_batch(sql)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.pragma_update(None, "user_version", number)?;
        step.commit()?;
    }
    Ok(())
}

/// Deletes copies that were made before this time: they contain people who were erased since.
pub(crate) fn delete_old_copies(data_dir: &Path, before: Timestamp) {
    let Ok(entries) = std::fs::read_dir(data_dir.join("backups")) else { return };
    // As `back_up` names them.
    let oldest = format!("beadle-{}", before.to_string().replace(':', ""));
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("beadle-") && name < &*oldest {
            match std::fs::remove_file(&path) {
                Ok(()) => tracing::info!(copy = %path.display(), "copy of the database from before an upgrade deleted"),
                Err(error) => tracing::warn!(copy = %path.display(), %error, "copy of the database not deleted"),
            }
        }
    }
}

/// The schema version; 0 for a new file.
fn version(conn: &Connection, path: &Path) -> Result<i64, StoreError> {
    let number = |pragma: &str| conn.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let read = || -> rusqlite::Result<(i64, i64, i64)> {
        let tables = number("SELECT count(*) FROM sqlite_schema")?;
        Ok((tables, number("PRAGMA application_id")?, number("PRAGMA user_version")?))
    };
    match read() {
        Ok((0, _, _)) => Ok(0),
        Ok((_, APPLICATION_ID, version)) => Ok(version),
        Ok(_) => Err(StoreError::Foreign { path: path.into() }),
        Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::NotADatabase => {
            Err(StoreError::Foreign { path: path.into() })
        }
        Err(error) => Err(error.into()),
    }
}

/// Copies the database into `backups/` in the same directory, and deletes the oldest backups.
fn back_up(conn: &Connection, path: &Path, version: i64, now: Timestamp) -> Result<PathBuf, StoreError> {
    let dir = path.with_file_name("backups");
    std::fs::create_dir_all(&dir).map_err(StoreError::file("create", &dir))?;
    // Some file systems do not allow colons. The names sort by time.
    let backup = dir.join(format!("beadle-{}-v{version}.db", now.to_string().replace(':', "")));
    // Written under a temporary name first, so that a file with its own name is complete.
    let part = backup.with_extension("part");
    let _ = std::fs::remove_file(&part);
    conn.execute("VACUUM INTO ?1", [part.to_string_lossy()])?;
    std::fs::rename(&part, &backup).map_err(StoreError::file("rename", &part))?;
    delete_oldest(&dir);
    Ok(backup)
}

fn delete_oldest(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut backups: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "db"))
        .collect();
    backups.sort();
    for old in backups.iter().rev().skip(BACKUPS) {
        if let Err(error) = std::fs::remove_file(old) {
            tracing::warn!(path = %old.display(), %error, "old backup not deleted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: &str = "ALTER TABLE plugins ADD COLUMN colour TEXT";

    fn migrated(path: &Path, steps: &[&str], at: i64) -> Result<Connection, StoreError> {
        let mut conn = Connection::open(path)?;
        migrate(&mut conn, path, steps, Timestamp(at))?;
        Ok(conn)
    }

    fn backups(path: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(path.with_file_name("backups")).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn migrates_after_a_backup() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("beadle.db");
        let conn = migrated(&path, MIGRATIONS, 0).unwrap();
        conn.execute("INSERT INTO plugins (name) VALUES ('echo')", []).unwrap();
        drop(conn);
        assert!(backups(&path).is_empty(), "a new file needs none");
        migrated(&path, MIGRATIONS, 0).unwrap();
        assert!(backups(&path).is_empty(), "nor one that is as it should be");

        let steps = [MIGRATIONS, &[NEXT]].concat();
        let conn = migrated(&path, &steps, 0).unwrap();
        assert_eq!(
            conn.query_row("SELECT name, colour FROM plugins", [], |row| row.get::<_, String>(0)).unwrap(),
            "echo"
        );
        let newest = MIGRATIONS.len() as i64;
        assert_eq!(version(&conn, &path).unwrap(), newest + 1);
        let backup = format!("beadle-1970-01-01T000000.000Z-v{newest}.db");
        assert_eq!(backups(&path), [backup.as_str()]);
        // The backup is complete and can be opened.
        let copy = path.with_file_name("backups").join(&backup);
        let copied = migrated(&copy, MIGRATIONS, 0).unwrap();
        assert_eq!(copied.query_row("SELECT count(*) FROM plugins", [], |row| row.get::<_, i64>(0)).unwrap(), 1);

        let error = migrated(&path, MIGRATIONS, 0).unwrap_err();
        assert!(matches!(error, StoreError::Newer { .. }), "{error}");
    }

    #[test]
    fn failed_step_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("beadle.db");
        migrated(&path, MIGRATIONS, 0).unwrap();
        let broken = [MIGRATIONS, &[concat!("CREATE TABLE half (id);", "SELECT wrong")]].concat();
        assert!(migrated(&path, &broken, 0).is_err());
        let conn = migrated(&path, MIGRATIONS, 0).unwrap();
        let half = "SELECT count(*) FROM sqlite_schema WHERE name = 'half'";
        assert_eq!(conn.query_row(half, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    }

    #[test]
    fn oldest_backups_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("beadle.db");
        migrated(&path, MIGRATIONS, 0).unwrap();
        let broken = [MIGRATIONS, &["SELECT wrong"]].concat();
        for day in 1..=5 {
            assert!(migrated(&path, &broken, day * 86_400_000).is_err());
        }
        let kept = backups(&path);
        assert_eq!(kept.len(), BACKUPS);
        assert!(kept[0].starts_with("beadle-1970-01-04") && kept[2].starts_with("beadle-1970-01-06"), "{kept:?}");
    }
}
