//! The business account: restrictions, costs, and the messaging limit (docs/whatsapp.md#limits and
//! docs/whatsapp.md#prices).
//!
//! Costs are estimates from a dated file, for the chat page. A status carries the category and
//! type, never an amount.

use crate::calendar::month;
use crate::faults::Faults;
use crate::messages::Pricing;
use crate::people::{Person, PersonNo};
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Free service messages per number and calendar month, since 2026-10-01.
const FREE_SERVICE_MESSAGES: u32 = 1_000;

/// 2026-10-01: from then on messages in an open window are charged too.
const SERVICE_CHARGED_FROM_MS: i64 = 1_790_812_800_000;

/// The period of the messaging limit.
const TIER_WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// Duration of a throughput upgrade, during which nothing can be sent (131057).
pub(crate) const UPGRADE_MS: i64 = 60 * 1000;

/// A restriction of the account by the platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Restriction {
    #[default]
    None,
    /// The business may reply but not write first (131048).
    NoBusinessInitiated,
    /// Blocked because of a policy violation (368).
    Blocked,
    /// Locked (131031).
    Locked,
}

/// The costs of one category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub messages: u64,
    pub free: u64,
    /// In millionths of the currency.
    pub micros: u64,
}

/// The state of a chat that determines the price of a message in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChatTerms {
    pub is_group: bool,
    pub window_open: bool,
    /// A free entry point is open.
    pub free_entry: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Account {
    pub restriction: Restriction,
    pub maintenance_until_ms: i64,
    /// The number's quality: GREEN, YELLOW or RED; `None` is GREEN.
    pub quality: Option<String>,
    pub costs: BTreeMap<String, Cost>,
    /// A month, and its number of service messages.
    pub free_tier: (i64, u32),
    /// When and to whom the business wrote first, oldest first.
    pub initiated: Vec<(i64, PersonNo)>,
}

impl Account {
    /// Checks whether the account may send at all.
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

/// Records that the business writes first to a person, if the messaging limit permits it.
pub(crate) fn write_first(account: &mut Account, faults: &Faults, no: PersonNo, now_ms: i64) -> Result<(), Refusal> {
    if account.restriction == Restriction::NoBusinessInitiated {
        return Err(Refusal::new(
            131_048,
            "Message failed to send because there are restrictions on how many messages can be sent from this phone number.",
        ));
    }
    let limit = usize::try_from(faults.messaging_limit).unwrap_or(usize::MAX);
    if limit == 0 {
        return Ok(());
    }
    let initiated = &mut account.initiated;
    initiated.retain(|(at_ms, _)| now_ms - at_ms < TIER_WINDOW_MS);
    if initiated.iter().any(|(_, person)| *person == no) {
        return Ok(());
    }
    if initiated.len() >= limit {
        return Err(Refusal::new(
            faults.messaging_limit_code,
            format!("The messaging limit of {limit} people in 24 hours is reached."),
        ));
    }
    initiated.push((now_ms, no));
    Ok(())
}

/// The price of a message to this number of recipients; `None` for types that are never billed.
pub(crate) fn price(
    account: &mut Account,
    terms: ChatTerms,
    kind: &str,
    category: &str,
    recipients: u32,
    now_ms: i64,
) -> Option<Pricing> {
    if matches!(kind, "reaction" | "pin") {
        return None;
    }
    if terms.free_entry {
        return Some(Pricing {
            category: "referral_conversion".to_owned(),
            r#type: "free_entry_point".to_owned(),
            billable: false,
        });
    }
    let before_october = now_ms < SERVICE_CHARGED_FROM_MS;
    let billable = match category {
        "service" => {
            let this_month = month(now_ms);
            let tier = &mut account.free_tier;
            if tier.0 != this_month {
                *tier = (this_month, 0);
            }
            tier.1 = tier.1.saturating_add(recipients);
            !before_october && tier.1 > FREE_SERVICE_MESSAGES
        }
        "utility" => !(before_october && terms.window_open),
        _ => true,
    };
    let kind = match (billable, terms.is_group) {
        (true, _) => "regular",
        (false, true) => "free_group_customer_service",
        (false, false) => "free_customer_service",
    };
    let category = if terms.is_group { format!("group_{category}") } else { category.to_owned() };
    Some(Pricing { category, r#type: kind.to_owned(), billable })
}

/// Whether the free tier of this month is used up.
pub(crate) fn free_tier_is_used_up(account: &Account, now_ms: i64) -> bool {
    now_ms >= SERVICE_CHARGED_FROM_MS
        && account.free_tier.0 == month(now_ms)
        && account.free_tier.1 >= FREE_SERVICE_MESSAGES
}

/// Adds a delivered message to the costs.
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
    // The file is compiled in, and a test parses it.
    RATES.get_or_init(|| serde_json::from_str(include_str!("rates.json")).ok()).as_ref()
}

pub(crate) fn currency() -> &'static str {
    rates().map_or("EUR", |rates| rates.currency.as_str())
}

/// The rate in millionths, by the country at the start of the user id; 0 before the first date of
/// the file.
fn rate(category: &str, person: &Person, now_ms: i64) -> u64 {
    let dated = rates().and_then(|rates| rates.from.iter().rev().find(|dated| dated.date_ms <= now_ms));
    let country = person.user_id.split('.').next().unwrap_or("*");
    let Some(row) = dated.and_then(|dated| dated.rates.get(country).or_else(|| dated.rates.get("*"))) else { return 0 };
    let plain = category.trim_start_matches("group_");
    // Utility, authentication and service share a rate.
    row.get(if plain == "marketing" { "marketing" } else { "utility" }).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn billable_messages_cost_the_rate_of_the_country() {
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
    fn restricted_account_may_not_send() {
        let with =
            |restriction| Account { restriction, ..Account::default() }.may_send(0).err().map(|refusal| refusal.code);
        assert_eq!(with(Restriction::None), None);
        assert_eq!(with(Restriction::NoBusinessInitiated), None);
        assert_eq!((with(Restriction::Blocked), with(Restriction::Locked)), (Some(368), Some(131_031)));
        let upgrading = Account { maintenance_until_ms: 10, ..Account::default() };
        assert_eq!(upgrading.may_send(9).unwrap_err().code, 131_057);
        assert!(upgrading.may_send(10).is_ok());
    }
}
