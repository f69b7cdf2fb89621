//! The schema's versions: numbered steps forward, a copy of the file before the first of them, and a clear "no" to what
//! is newer than this program or not ours at all.

use crate::StoreError;
use beadle_model::Timestamp;
use rusqlite::{Connection, ErrorCode};
use std::path::{Path, PathBuf};

/// Step n makes version n of version n - 1. Never change one that was released: add the next.
pub(crate) const MIGRATIONS: &[&str] = &[include_str!("../schema/0001.sql")];

/// `Bead`: the mark in the file's header by which a database of ours is known.
const APPLICATION_ID: i64 = 0x4265_6164;

/// Backups that are kept; each is as large as the database.
const BACKUPS: usize = 3;

/// Brings the database to the newest version. `path`: its file, for the copy beside it and for errors.
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
        tracing::info!(from = found, to = known, backup = %backup.display(), "the database moves to a newer schema");
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

/// The version of the schema; 0 for a file that is new.
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

/// A whole copy in `backups/` beside the database, and the oldest ones gone.
fn back_up(conn: &Connection, path: &Path, version: i64, now: Timestamp) -> Result<PathBuf, StoreError> {
    let dir = path.with_file_name("backups");
    std::fs::create_dir_all(&dir).map_err(StoreError::file("make", &dir))?;
    // Colons are no part of a file's name everywhere. Times sort as text, and so do the names.
    let backup = dir.join(format!("beadle-{}-v{version}.db", now.to_string().replace(':', "")));
    // Written under another name first: what has its own name is whole.
    let part = backup.with_extension("part");
    let _ = std::fs::remove_file(&part);
    conn.execute("VACUUM INTO ?1", [part.to_string_lossy()])?;
    std::fs::rename(&part, &backup).map_err(StoreError::file("rename", &part))?;
    forget_oldest(&dir);
    Ok(backup)
}

fn forget_oldest(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut backups: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "db"))
        .collect();
    backups.sort();
    for old in backups.iter().rev().skip(BACKUPS) {
        if let Err(error) = std::fs::remove_file(old) {
            tracing::warn!(path = %old.display(), %error, "an old backup could not be deleted");
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
    fn it_moves_forward_after_a_backup() {
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
        assert_eq!(version(&conn, &path).unwrap(), 2);
        assert_eq!(backups(&path), ["beadle-1970-01-01T000000.000Z-v1.db"]);
        // The copy is whole, and opens as what it was.
        let copy = path.with_file_name("backups").join("beadle-1970-01-01T000000.000Z-v1.db");
        let copied = migrated(&copy, MIGRATIONS, 0).unwrap();
        assert_eq!(copied.query_row("SELECT count(*) FROM plugins", [], |row| row.get::<_, i64>(0)).unwrap(), 1);

        let error = migrated(&path, MIGRATIONS, 0).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
    }

    #[test]
    fn a_step_that_fails_changes_nothing_and_old_backups_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("beadle.db");
        migrated(&path, MIGRATIONS, 0).unwrap();
        let broken = [MIGRATIONS, &[concat!("CREATE TABLE half (id);", "SELECT wrong")]].concat();
        for day in 1..=5 {
            assert!(migrated(&path, &broken, day * 86_400_000).is_err());
        }
        let conn = migrated(&path, MIGRATIONS, 0).unwrap();
        let half = "SELECT count(*) FROM sqlite_schema WHERE name = 'half'";
        assert_eq!(conn.query_row(half, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
        let kept = backups(&path);
        assert_eq!(kept.len(), BACKUPS);
        assert!(kept[0].starts_with("beadle-1970-01-04") && kept[2].starts_with("beadle-1970-01-06"), "{kept:?}");
    }
}
