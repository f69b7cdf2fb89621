//! Templates of the business accounts: fetched as a whole, and kept current by what webhooks
//! report.
//!
//! The later of a webhook (by the platform's time stamp) and a fetch (by when it began) applies.

use crate::codec::to_json;
use crate::error::StoreError;
use crate::read::{Reader, bounded};
use crate::tx::Tx;
use beadle_model::{TemplateChange, TemplateDefinition, TemplateNews, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A business account and the state of its templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// The platform's id.
    pub account: String,
    /// Its channels, by name.
    pub channels: Vec<String>,
    /// When its templates were last fetched.
    pub fetched_at: Option<Timestamp>,
    /// Why the last attempt to fetch them failed, and when.
    pub error: Option<(String, Timestamp)>,
    /// The number of its templates, each language counted.
    pub templates: u64,
}

/// A filter of templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateFilter {
    /// Only those that this channel can send.
    pub channel: Option<String>,
    /// Only with this name.
    pub name: Option<String>,
    /// Only in this status.
    pub status: Option<String>,
    /// Only after this name and language.
    pub after: Option<(String, String)>,
    /// The maximum number of results.
    pub limit: usize,
}

/// The templates with one name that a channel can send.
#[derive(Clone, Debug, PartialEq)]
pub enum KnownTemplates {
    /// The channel's account is not configured, or its templates were never fetched.
    Unknown,
    /// One for each language, by language; empty if there is none with this name.
    Known(Vec<TemplateDefinition>),
}

const TEMPLATE: &str =
    "platform_id, name, language, category, status, quality, reason, is_named, components, changed_at";

fn template_of(row: &Row<'_>) -> Result<TemplateDefinition, StoreError> {
    let name: String = row.get(1)?;
    let components: String = row.get(8)?;
    let components =
        serde_json::from_str(&components).map_err(|error| StoreError::unreadable(format!("template {name}"), error))?;
    Ok(TemplateDefinition {
        platform_id: row.get(0)?,
        name,
        language: row.get(2)?,
        category: row.get(3)?,
        status: row.get(4)?,
        quality: row.get(5)?,
        reason: row.get(6)?,
        is_named: row.get(7)?,
        components,
        changed_at: Timestamp(row.get(9)?),
    })
}

impl Tx<'_> {
    /// Sets which account each channel belongs to; rows that belong to no channel are deleted.
    pub(crate) fn set_channel_accounts(&mut self, accounts: &[(String, String)]) -> Result<(), StoreError> {
        self.conn.execute("DELETE FROM channel_accounts", [])?;
        for (channel, account) in accounts {
            let insert = "INSERT INTO channel_accounts (channel, account) VALUES (?1, ?2)";
            self.conn.prepare_cached(insert)?.execute(params![channel, account])?;
            let insert = "INSERT INTO accounts (account) VALUES (?1) ON CONFLICT DO NOTHING";
            self.conn.prepare_cached(insert)?.execute([account])?;
        }
        for table in ["accounts", "templates"] {
            let unused = "account NOT IN (SELECT account FROM channel_accounts)";
            self.conn.execute(&format!("DELETE FROM {table} WHERE {unused}"), [])?;
        }
        Ok(())
    }

    /// Replaces an account's templates by what was fetched. What webhooks reported since `began`
    /// stays.
    pub(crate) fn replace_templates(
        &mut self,
        account: &str,
        templates: &[TemplateDefinition],
        began: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let older = "DELETE FROM templates WHERE account = ?1 AND changed_at <= ?2";
        self.conn.prepare_cached(older)?.execute(params![account, began.0])?;
        for template in templates {
            // A row that is left has news about status, quality or category, and may lack
            // components.
            self.conn
                .prepare_cached(
                    "INSERT INTO templates (account, platform_id, name, language, category, status, quality, reason,
                         is_named, components, changed_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                     ON CONFLICT (account, name, language) DO UPDATE SET
                         components = excluded.components, is_named = excluded.is_named",
                )?
                .execute(params![
                    account,
                    template.platform_id,
                    template.name,
                    template.language,
                    template.category,
                    template.status,
                    template.quality,
                    template.reason,
                    template.is_named,
                    to_json("a template", &template.components)?,
                    began.0
                ])?;
        }
        self.conn
            .prepare_cached(
                "UPDATE accounts SET templates_fetched_at = ?2, templates_error = NULL, templates_failed_at = NULL
                 WHERE account = ?1",
            )?
            .execute(params![account, now.0])?;
        Ok(())
    }

    /// Records that an account's templates could not be fetched.
    pub(crate) fn record_template_fetch_error(
        &mut self,
        account: &str,
        error: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE accounts SET templates_error = ?2, templates_failed_at = ?3 WHERE account = ?1")?
            .execute(params![account, error, now.0])?;
        Ok(())
    }

    /// Sets how many people an account may write to first in 24 hours.
    pub(crate) fn set_messaging_limit(&mut self, account: &str, people: u64) -> Result<(), StoreError> {
        let people = i64::try_from(people).unwrap_or(i64::MAX);
        self.conn
            .prepare_cached("UPDATE accounts SET messaging_limit = ?2 WHERE account = ?1")?
            .execute(params![account, people])?;
        Ok(())
    }

    /// Sets the quality of a channel's number.
    pub(crate) fn set_channel_quality(&mut self, channel: &str, quality: &str) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT INTO channel_quality (channel, quality) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET quality = excluded.quality",
            )?
            .execute([channel, quality])?;
        Ok(())
    }

    /// Applies what a webhook reports, unless something newer is known. News of an account that no
    /// channel has, and of a template whose parts were not fetched yet, wait for the next fetch.
    pub(crate) fn apply_template_news(&mut self, news: &TemplateNews) -> Result<(), StoreError> {
        let TemplateNews { account, name, language, at, change, .. } = news;
        let is = "WHERE account = ?1 AND name = ?2 AND language = ?3 AND changed_at <= ?4";
        match change {
            TemplateChange::Status { status, .. } if status == "deleted" => {
                let sql = format!("DELETE FROM templates {is}");
                self.conn.prepare_cached(&sql)?.execute(params![account, name, language, at.0])?;
            }
            TemplateChange::Status { status, reason, category } => {
                let sql = format!(
                    "UPDATE templates SET status = ?5, reason = ?6, category = coalesce(?7, category), changed_at = ?4 {is}"
                );
                self.conn
                    .prepare_cached(&sql)?
                    .execute(params![account, name, language, at.0, status, reason, category])?;
            }
            TemplateChange::Quality(quality) => {
                let sql = format!("UPDATE templates SET quality = ?5, changed_at = ?4 {is}");
                self.conn.prepare_cached(&sql)?.execute(params![account, name, language, at.0, quality])?;
            }
            TemplateChange::Category(category) => {
                let sql = format!("UPDATE templates SET category = ?5, changed_at = ?4 {is}");
                self.conn.prepare_cached(&sql)?.execute(params![account, name, language, at.0, category])?;
            }
            TemplateChange::Components => {}
        }
        Ok(())
    }
}

/// The quality of a channel's number.
pub(crate) fn channel_quality(conn: &Connection, channel: &str) -> Result<Option<String>, StoreError> {
    let find = "SELECT quality FROM channel_quality WHERE channel = ?1";
    Ok(conn.prepare_cached(find)?.query_row([channel], |row| row.get(0)).optional()?)
}

impl Reader {
    /// The templates with this name that a channel can send.
    pub fn templates_named(&self, channel: &str, name: &str) -> Result<KnownTemplates, StoreError> {
        self.all(|conn| {
            let account: Option<String> = conn
                .prepare_cached(
                    "SELECT account FROM channel_accounts JOIN accounts USING (account)
                     WHERE channel = ?1 AND templates_fetched_at IS NOT NULL",
                )?
                .query_row([channel], |row| row.get(0))
                .optional()?;
            let Some(account) = account else { return Ok(KnownTemplates::Unknown) };
            let sql = format!("SELECT {TEMPLATE} FROM templates WHERE account = ?1 AND name = ?2 ORDER BY language");
            let mut read = conn.prepare_cached(&sql)?;
            let mut rows = read.query(params![account, name])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(template_of(row)?);
            }
            Ok(KnownTemplates::Known(found))
        })
    }

    /// The number of templates by status.
    pub fn templates_by_status(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT status, count(*) FROM templates GROUP BY status")?;
            let counted = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()));
            Ok(read.query_map([], counted)?.collect::<Result<_, _>>()?)
        })
    }

    /// Templates by name and language, each with its account; at most `filter.limit` and 1,000.
    pub fn templates(&self, filter: &TemplateFilter) -> Result<Vec<(String, TemplateDefinition)>, StoreError> {
        let (after_name, after_language) = filter.after.clone().unwrap_or_default();
        self.one(|conn| {
            let sql = format!(
                "SELECT {TEMPLATE}, account FROM templates
                 WHERE (?1 IS NULL OR account = (SELECT account FROM channel_accounts WHERE channel = ?1))
                   AND (?2 IS NULL OR name = ?2) AND (?3 IS NULL OR status = ?3) AND (name, language) > (?4, ?5)
                 ORDER BY name, language, account LIMIT ?6"
            );
            let mut read = conn.prepare_cached(&sql)?;
            let mut rows = read.query(params![
                filter.channel,
                filter.name,
                filter.status,
                after_name,
                after_language,
                bounded(filter.limit)
            ])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push((row.get(10)?, template_of(row)?));
            }
            Ok(found)
        })
    }

    /// The business accounts of the configured channels.
    pub fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        self.one(|conn| {
            conn.prepare_cached(
                "SELECT account, templates_fetched_at, templates_error, templates_failed_at,
                     (SELECT group_concat(channel, char(10) ORDER BY channel) FROM channel_accounts c
                      WHERE c.account = accounts.account),
                     (SELECT count(*) FROM templates t WHERE t.account = accounts.account)
                 FROM accounts ORDER BY account",
            )?
            .query_map([], |row| {
                let error: Option<String> = row.get(2)?;
                let failed_at: Option<i64> = row.get(3)?;
                let channels: Option<String> = row.get(4)?;
                Ok(AccountRow {
                    account: row.get(0)?,
                    channels: channels.unwrap_or_default().lines().map(str::to_owned).collect(),
                    fetched_at: row.get::<_, Option<i64>>(1)?.map(Timestamp),
                    error: error.zip(failed_at.map(Timestamp)),
                    templates: row.get::<_, i64>(5)?.unsigned_abs(),
                })
            })?
            .collect::<Result<_, _>>()
            .map_err(StoreError::from)
        })
    }
}
