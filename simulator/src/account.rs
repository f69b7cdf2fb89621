//! The business's account: what it may do, what it pays, whom it wrote to first today (whatsapp.md 4 and 5).
//!
//! Prices are an estimate from a dated file, for the page; a status carries the category and kind and never an amount.

use crate::civil::month;
use crate::hub::World;
use crate::messages::{Chat, Pricing};
use crate::people::{Person, PersonNo};
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Service messages that a number has free each calendar month (whatsapp.md 5.3, since 2026-10-01).
const FREE_SERVICE_MESSAGES: u32 = 1_000;

/// 2026-10-01: from here on messages in an open window are charged too (whatsapp.md 5.3).
const SERVICE_CHARGED_FROM_MS: i64 = 1_790_812_800_000;

/// Over this a unique person counts anew towards the messaging limit.
const TIER_WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// A throughput upgrade takes up to a minute, in which nothing can be sent (131057).
pub(crate) const UPGRADE_MS: i64 = 60 * 1000;

/// What the platform has put on the account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Restriction {
    #[default]
    None,
    /// May answer, and not write first (131048).
    NoFirst,
    /// Blocked for a policy violation (368).
    Blocked,
    /// Locked (131031).
    Locked,
}

/// What one category has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub messages: u64,
    pub free: u64,
    /// Millionths of the currency.
    pub micros: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Account {
    pub restriction: Restriction,
    pub maintenance_until_ms: i64,
    /// Of the number: GREEN, YELLOW or RED; none is GREEN.
    pub quality: Option<String>,
    pub costs: BTreeMap<String, Cost>,
    /// The month, and how many service messages it had.
    pub free_tier: (i64, u32),
    /// When the business wrote first to whom, the oldest first.
    pub initiated: Vec<(i64, PersonNo)>,
}

impl Account {
    /// Whether anything may be sent at all.
    pub(crate) fn may_send(&self, now_ms: i64) -> Result<(), Refusal> {
        match self.restriction {
            Restriction::Blocked => {
                Err(Refusal::new(368, "The account was temporarily blocked for violating WhatsApp's policies."))
            }
            Restriction::Locked => Err(Refusal::new(131_031, "Business account has been locked.")),
            _ if now_ms < self.maintenance_until_ms => Err(Refusal::new(
                131_057,
                "The account is in maintenance mode. Another reason may be that its throughput is being upgraded.",
            )),
            _ => Ok(()),
        }
    }
}

/// Holds the business to the people it may write to first within 24 hours; 0 is no limit.
pub(crate) fn write_first(world: &mut World, no: PersonNo, now_ms: i64) -> Result<(), Refusal> {
    if world.account.restriction == Restriction::NoFirst {
        return Err(Refusal::new(
            131_048,
            "Message failed to send because there are restrictions on how many messages can be sent from this phone number.",
        ));
    }
    let limit = usize::try_from(world.knobs.messaging_limit).unwrap_or(usize::MAX);
    if limit == 0 {
        return Ok(());
    }
    let initiated = &mut world.account.initiated;
    initiated.retain(|(at_ms, _)| now_ms - at_ms < TIER_WINDOW_MS);
    if initiated.iter().any(|(_, who)| *who == no) {
        return Ok(());
    }
    if initiated.len() >= limit {
        return Err(Refusal::new(
            world.knobs.messaging_limit_code,
            format!("The messaging limit of {limit} people in 24 hours is reached."),
        ));
    }
    initiated.push((now_ms, no));
    Ok(())
}

/// What a message will be billed as, for so many recipients; none for what is never billed.
pub(crate) fn price(
    world: &mut World,
    chat: Chat,
    kind: &str,
    category: &str,
    recipients: u32,
    now_ms: i64,
) -> Option<Pricing> {
    if matches!(kind, "reaction" | "pin") {
        return None;
    }
    let in_group = matches!(chat, Chat::Group(_));
    let (free, window) = match chat {
        Chat::Person(no) => world
            .people
            .get(no)
            .map_or((false, false), |person| (now_ms < person.free_until_ms, person.window_open(now_ms))),
        Chat::Group(no) => (false, world.groups.get(no).is_some_and(|group| group.window_open(now_ms))),
    };
    let named = |category: &str| if in_group { format!("group_{category}") } else { category.to_owned() };
    if free {
        return Some(Pricing {
            category: "referral_conversion".to_owned(),
            r#type: "free_entry_point".to_owned(),
            billable: false,
        });
    }
    let free_kind = if in_group { "free_group_customer_service" } else { "free_customer_service" };
    let before_october = now_ms < SERVICE_CHARGED_FROM_MS;
    let billable = match category {
        "service" => {
            let this_month = month(now_ms);
            let tier = &mut world.account.free_tier;
            if tier.0 != this_month {
                *tier = (this_month, 0);
            }
            tier.1 = tier.1.saturating_add(recipients);
            !before_october && tier.1 > FREE_SERVICE_MESSAGES
        }
        "utility" => !(before_october && window),
        _ => true,
    };
    let kind = if billable { "regular" } else { free_kind };
    Some(Pricing { category: named(category), r#type: kind.to_owned(), billable })
}

/// Whether service messages would cost money now.
pub(crate) fn free_tier_is_used_up(account: &Account, now_ms: i64) -> bool {
    now_ms >= SERVICE_CHARGED_FROM_MS
        && account.free_tier.0 == month(now_ms)
        && account.free_tier.1 >= FREE_SERVICE_MESSAGES
}

/// A delivered message goes on the bill.
pub(crate) fn bill(account: &mut Account, pricing: &Pricing, person: &Person, now_ms: i64) {
    let cost = account.costs.entry(pricing.category.clone()).or_default();
    cost.messages += 1;
    if pricing.billable {
        cost.micros += rate(&pricing.category, person, now_ms);
    } else {
        cost.free += 1;
    }
}

#[derive(Deserialize)]
struct Rates {
    currency: String,
    from: Vec<Dated>,
}

#[derive(Deserialize)]
struct Dated {
    date_ms: i64,
    rates: BTreeMap<String, BTreeMap<String, u64>>,
}

fn rates() -> Option<&'static Rates> {
    static RATES: OnceLock<Option<Rates>> = OnceLock::new();
    // The file is part of the program; a test reads it.
    RATES.get_or_init(|| serde_json::from_str(include_str!("rates.json")).ok()).as_ref()
}

pub(crate) fn currency() -> &'static str {
    rates().map_or("EUR", |rates| rates.currency.as_str())
}

/// Millionths, by the country that a user id begins with; what is before the first date has no rate.
fn rate(category: &str, person: &Person, now_ms: i64) -> u64 {
    let dated = rates().and_then(|rates| rates.from.iter().rev().find(|dated| dated.date_ms <= now_ms));
    let country = person.user_id.split('.').next().unwrap_or("*");
    let Some(row) = dated.and_then(|dated| dated.rates.get(country).or_else(|| dated.rates.get("*"))) else { return 0 };
    let plain = category.trim_start_matches("group_");
    // Utility, authentication and service are one rate in the table.
    row.get(if plain == "marketing" { "marketing" } else { "utility" }).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_costs_nothing_and_the_rest_by_country() {
        let person = Person { user_id: "DE.1".to_owned(), ..Person::default() };
        let mut account = Account::default();
        let pricing =
            |category: &str, billable| Pricing { category: category.to_owned(), r#type: String::new(), billable };
        bill(&mut account, &pricing("group_marketing", true), &person, SERVICE_CHARGED_FROM_MS);
        bill(&mut account, &pricing("service", false), &person, SERVICE_CHARGED_FROM_MS);
        bill(&mut account, &pricing("service", true), &person, SERVICE_CHARGED_FROM_MS);
        assert_eq!(account.costs["group_marketing"], Cost { messages: 1, free: 0, micros: 170_000 });
        assert_eq!(account.costs["service"], Cost { messages: 2, free: 1, micros: 70_000 });
        assert_eq!(
            rate("marketing", &Person { user_id: "XX.1".to_owned(), ..person }, SERVICE_CHARGED_FROM_MS),
            80_000
        );
        assert_eq!(currency(), "EUR");
    }

    #[test]
    fn a_restricted_account_sends_nothing() {
        let with = |restriction| Account { restriction, ..Account::default() }.may_send(0).err().map(|no| no.code);
        assert_eq!(with(Restriction::None), None);
        assert_eq!(with(Restriction::NoFirst), None);
        assert_eq!((with(Restriction::Blocked), with(Restriction::Locked)), (Some(368), Some(131_031)));
        let upgrading = Account { maintenance_until_ms: 10, ..Account::default() };
        assert_eq!(upgrading.may_send(9).unwrap_err().code, 131_057);
        assert!(upgrading.may_send(10).is_ok());
    }
}
