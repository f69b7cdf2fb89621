//! What messages cost, as an estimate, and the budgets that limit it (`docs/whatsapp.md#prices`).
//!
//! The platform reports for which messages it charges, not how much. An amount is the rate of the
//! recipient's country, the category and the day, from a file that the operator keeps up to date. A
//! rate that is not in the file is unknown: it is never replaced by a guess.

use beadle_model::effect::PriceKey;
use beadle_model::event::Pricing;
use beadle_model::{Day, PluginNo};
use std::collections::BTreeMap;
use std::fmt;
use std::iter::Sum;
use std::ops::Add;

/// The share of a budget at which there is a warning, in percent.
pub const WARNING_PERCENT: u64 = 80;

/// An amount in millionths of the currency's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(pub u64);

impl Money {
    /// That many times the amount.
    #[must_use]
    pub fn times(self, number: u64) -> Self {
        Self(self.0.saturating_mul(number))
    }

    /// What share of `whole` it is, in percent and rounded down.
    pub fn percent_of(self, whole: Self) -> u64 {
        let percent = u128::from(self.0) * 100 / u128::from(whole.0.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

/// `12.50`, `0.0456`: at least two decimals.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:06}", self.0 % 1_000_000);
        write!(f, "{}.{:0<2}", self.0 / 1_000_000, decimals.trim_end_matches('0'))
    }
}

/// Rates by day, country and category, in one currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// ISO 4217, for example `EUR`.
    pub currency: String,
    /// Service messages that cost nothing, per number and calendar month; for reports only.
    pub free_service_messages: Option<u64>,
    /// By the first day on which a list is in force; each until the next one.
    pub lists: BTreeMap<Day, RateList>,
}

/// The rates that are in force from one day on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateList {
    /// Where the figures are from.
    pub source: String,
    /// By country and category.
    pub rates: BTreeMap<PriceKey, Money>,
}

impl Rates {
    /// The list that is in force on a day, with its first day.
    pub fn list(&self, day: Day) -> Option<(Day, &RateList)> {
        self.lists.range(..=day).next_back().map(|(from, list)| (*from, list))
    }

    /// The rate of a message; `None` if it is not known.
    pub fn rate(&self, country: &str, category: &str, day: Day) -> Option<Money> {
        let (_, list) = self.list(day)?;
        let key = PriceKey { country: country.to_owned(), category: rate_category(category).to_owned() };
        list.rates.get(&key).copied()
    }

    /// What a charged message cost; `None` if its rate is not known.
    pub fn estimate(&self, pricing: &Pricing, country: &str, day: Day) -> Option<Money> {
        if is_free(pricing) { Some(Money::default()) } else { self.rate(country, &pricing.category, day) }
    }
}

/// The category of the rate of a reported category: messages in groups cost what the others cost.
fn rate_category(category: &str) -> &str {
    match category.strip_prefix("group_").unwrap_or(category) {
        "marketing_lite" => "marketing",
        category => category,
    }
}

/// Whether the platform reported that it does not charge.
pub fn is_free(pricing: &Pricing) -> bool {
    match pricing.kind.as_deref() {
        Some(kind) => kind.starts_with("free_") || pricing.subtype.as_deref() == Some("paid_exempt"),
        // What the platform sent before it had types.
        None => pricing.billable == Some(false),
    }
}

/// A limit on what messages cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Its name in the configuration.
    pub name: String,
    /// Only what this plugin sends.
    pub plugin: Option<String>,
    /// Only what is sent on this channel.
    pub channel: Option<String>,
    /// Only this category.
    pub category: Option<String>,
    /// What it is for.
    pub period: Period,
    /// The limit, in the currency of the rates.
    pub amount: Money,
    /// What happens to a message that it does not allow.
    pub when_used_up: WhenUsedUp,
}

/// The time that a budget is for, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// A calendar day.
    Day,
    /// A calendar month.
    Month,
}

impl Period {
    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Month => "month",
        }
    }

    /// The first day of the period that a day is in, and the first day after it.
    pub fn around(self, day: Day) -> (Day, Day) {
        match self {
            Period::Day => (day, day.next()),
            Period::Month => (day.first_of_month(), day.first_of_next_month()),
        }
    }
}

/// What happens to a message that a budget does not allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenUsedUp {
    /// It is refused.
    #[default]
    Refuse,
    /// It waits for the next period.
    Defer,
}

impl Budget {
    /// Whether it counts a message. `plugin` and `named`: the message's plugin, and the number of a
    /// plugin by its name.
    pub fn counts(
        &self,
        channel: &str,
        plugin: PluginNo,
        category: &str,
        named: impl Fn(&str) -> Option<PluginNo>,
    ) -> bool {
        self.channel.as_deref().is_none_or(|only| only == channel)
            && self.category.as_deref().is_none_or(|only| only == rate_category(category))
            && self.plugin.as_deref().is_none_or(|only| named(only) == Some(plugin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn list(rates: &[(&str, &str, u64)]) -> RateList {
        let key = |country: &str, category: &str| PriceKey { country: country.into(), category: category.into() };
        let rates = rates.iter().map(|(country, category, rate)| (key(country, category), Money(*rate)));
        RateList { source: "test".into(), rates: rates.collect() }
    }

    fn rates() -> Rates {
        let july = list(&[("DE", "marketing", 110_000), ("DE", "utility", 45_600)]);
        let october = list(&[("DE", "marketing", 170_000), ("DE", "utility", 70_000), ("DE", "service", 70_000)]);
        let lists = [(day("2026-07-01"), july), (day("2026-10-01"), october)].into();
        Rates { currency: "EUR".into(), free_service_messages: Some(1000), lists }
    }

    #[test]
    fn rate_is_that_of_the_day_country_and_category() {
        for (country, category, on, rate) in [
            ("DE", "marketing", "2026-06-30", None),
            ("DE", "marketing", "2026-07-01", Some(110_000)),
            ("DE", "marketing", "2026-09-30", Some(110_000)),
            ("DE", "marketing", "2026-10-01", Some(170_000)),
            ("DE", "marketing_lite", "2026-10-01", Some(170_000)),
            ("DE", "group_utility", "2027-01-01", Some(70_000)),
            ("DE", "service", "2026-09-30", None),
            ("DE", "authentication", "2026-10-01", None),
            ("NL", "marketing", "2026-10-01", None),
            ("", "marketing", "2026-10-01", None),
        ] {
            assert_eq!(rates().rate(country, category, day(on)), rate.map(Money), "{country} {category} {on}");
        }
    }

    #[test]
    fn free_messages_cost_nothing_and_unknown_rates_stay_unknown() {
        let pricing = |kind: Option<&str>, subtype: Option<&str>, billable| Pricing {
            category: "service".into(),
            kind: kind.map(str::to_owned),
            subtype: subtype.map(str::to_owned),
            billable,
            ..Pricing::default()
        };
        let free = Some(Money(0));
        for (pricing, country, cost) in [
            (pricing(Some("regular"), None, Some(true)), "DE", Some(Money(70_000))),
            // The type counts; `billable` is to disappear.
            (pricing(Some("regular"), None, Some(false)), "DE", Some(Money(70_000))),
            (pricing(Some("regular"), None, None), "NL", None),
            (pricing(Some("regular"), Some("paid_exempt"), None), "NL", free),
            (pricing(Some("free_customer_service"), None, Some(false)), "NL", free),
            (pricing(Some("free_entry_point"), None, None), "", free),
            (pricing(Some("free_group_customer_service"), None, None), "NL", free),
            (pricing(None, None, Some(false)), "NL", free),
            (pricing(None, None, Some(true)), "DE", Some(Money(70_000))),
        ] {
            assert_eq!(rates().estimate(&pricing, country, day("2026-11-01")), cost, "{pricing:?}");
        }
    }

    #[test]
    fn amounts_have_at_least_two_decimals() {
        for (amount, text) in
            [(0, "0.00"), (1, "0.000001"), (45_600, "0.0456"), (500_000, "0.50"), (12_000_000, "12.00")]
        {
            assert_eq!(Money(amount).to_string(), text);
        }
        assert_eq!(Money(79).percent_of(Money(100)), 79);
        assert_eq!(Money(1).percent_of(Money(0)), 100);
    }

    #[test]
    fn budget_counts_what_it_is_for() {
        let budget = Budget {
            name: "news".into(),
            plugin: Some("community-updates".into()),
            channel: Some("shop".into()),
            category: Some("marketing".into()),
            period: Period::Month,
            amount: Money(1),
            when_used_up: WhenUsedUp::Refuse,
        };
        let named = |name: &str| (name == "community-updates").then_some(PluginNo(3));
        let counts = |channel, plugin, category| budget.counts(channel, PluginNo(plugin), category, named);
        assert!(counts("shop", 3, "marketing") && counts("shop", 3, "group_marketing"));
        assert!(!counts("club", 3, "marketing") && !counts("shop", 4, "marketing") && !counts("shop", 3, "utility"));
        let unknown = Budget { plugin: Some("other".into()), ..budget };
        assert!(!unknown.counts("shop", PluginNo(3), "marketing", named));
    }

    proptest! {
        #[test]
        fn day_is_in_its_period(number in -100_000i64..100_000, month in any::<bool>()) {
            let period = if month { Period::Month } else { Period::Day };
            let (first, after) = period.around(Day(number));
            prop_assert!(first <= Day(number) && Day(number) < after);
            prop_assert_eq!(period.around(first), (first, after));
            prop_assert_eq!(period.around(after).0, after);
        }
    }
}
