//! Budgets: what is used in the period, and whether one more message is within it.
//!
//! Used is what the platform charged, and an estimate of what has no price yet. When a plugin asks,
//! everything queued counts; when a message is about to be sent, only what was sent before it. A
//! message that the gate has passed is reserved: it counts from then on, also before the store has
//! it as sent, so that messages sent at the same time cannot spend the same remaining amount.

use crate::policy::Policy;
use beadle_gate::Draft;
use beadle_gate::costs::{Budget, Money, WARNING_PERCENT, WhenUsedUp};
use beadle_gate::{Category, Facts, ReachedBudget};
use beadle_model::effect::PriceKey;
use beadle_model::time::DAY_MS;
use beadle_model::{ConversationView, Day, MessageId, PluginNo, Timestamp};
use beadle_store::{Reader, StoreError};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

/// With more reservations than this, those that the store has as sent are removed at once.
const MANY_RESERVATIONS: usize = 1024;

/// The operator's budgets and their use.
pub(crate) struct Budgets {
    reader: Reader,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// Messages that the gate has passed and that the store may not have as sent.
    reserved: BTreeMap<MessageId, Reservation>,
    /// Warnings that were logged: the budget, the first day of its period, and whether it was used
    /// up.
    warned: BTreeSet<(String, Day, bool)>,
}

/// A message and what it may cost.
#[derive(Clone, Debug)]
struct Reservation {
    channel: String,
    plugin: PluginNo,
    category: String,
    cost: Money,
}

/// The numbers of plugins, by name.
type Plugins = BTreeMap<String, PluginNo>;

/// The use of a budget in its current period.
#[derive(Clone, Debug)]
pub struct BudgetUse {
    /// The budget.
    pub budget: Budget,
    /// The first day of the period.
    pub from: Day,
    /// The first day after it.
    pub until: Day,
    /// What was charged.
    pub charged: Money,
    /// What is queued, or sent and without a price.
    pub pending: Money,
    /// Messages whose rate is not known; they count as nothing.
    pub unpriced: u64,
}

impl BudgetUse {
    /// Everything that counts.
    pub fn used(&self) -> Money {
        self.charged + self.pending
    }

    /// The share that is used, in percent.
    pub fn percent(&self) -> u64 {
        self.used().percent_of(self.budget.amount)
    }
}

impl Budgets {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader, memory: Mutex::default() }
    }

    /// The use of every budget now.
    pub(crate) fn uses(&self, policy: &Policy, now: Timestamp) -> Result<Vec<BudgetUse>, StoreError> {
        if policy.budgets.is_empty() {
            return Ok(Vec::new());
        }
        let plugins = self.plugins(&policy.budgets)?;
        policy.budgets.iter().map(|budget| self.usage(budget, policy, &plugins, true, now)).collect()
    }

    fn plugins(&self, budgets: &[Budget]) -> Result<Plugins, StoreError> {
        if budgets.iter().all(|budget| budget.plugin.is_none()) {
            return Ok(Plugins::new());
        }
        Ok(self.reader.plugin_names()?.into_iter().map(|(no, name)| (name, no)).collect())
    }

    /// `queued`: whether what is queued counts too.
    fn usage(
        &self,
        budget: &Budget,
        policy: &Policy,
        plugins: &Plugins,
        queued: bool,
        now: Timestamp,
    ) -> Result<BudgetUse, StoreError> {
        let (from, until) = budget.period.around(Day::of(now));
        let last = Day(until.0 - 1);
        let (named, rates) = (|name: &str| plugins.get(name).copied(), &policy.rates);
        let mut usage = BudgetUse {
            budget: budget.clone(),
            from,
            until,
            charged: Money::default(),
            pending: Money::default(),
            unpriced: 0,
        };
        // Read before the charges: a message that gets its price in between counts twice rather
        // than not at all.
        for row in self.reader.pending_charges(from, last)? {
            if (queued || row.is_sent) && budget.counts(&row.channel, row.plugin, &row.price.category, named) {
                match rates.rate(&row.price.country, &row.price.category, row.day) {
                    Some(rate) => usage.pending = usage.pending + rate.times(row.messages),
                    None => usage.unpriced += row.messages,
                }
            }
        }
        for row in self.reader.charges(from, last)? {
            if budget.counts(&row.channel, row.plugin, &row.pricing.category, named) {
                match rates.estimate(&row.pricing, &row.country, row.day) {
                    Some(rate) => usage.charged = usage.charged + rate.times(row.messages),
                    None => usage.unpriced += row.messages,
                }
            }
        }
        if queued {
            self.warn(&usage, &rates.currency);
        }
        Ok(usage)
    }

    /// Logs once in each period that a budget is nearly used up, and that it is.
    fn warn(&self, usage: &BudgetUse, currency: &str) {
        let (name, percent) = (&usage.budget.name, usage.percent());
        let is_used_up = usage.used() >= usage.budget.amount;
        if percent < WARNING_PERCENT || !self.memory.lock().warned.insert((name.clone(), usage.from, is_used_up)) {
            return;
        }
        let (used, amount, period) = (usage.used(), usage.budget.amount, usage.budget.period.name());
        if is_used_up {
            tracing::warn!(budget = %name, period, %used, %amount, currency, "budget used up");
        } else {
            tracing::warn!(budget = %name, period, %used, %amount, currency, percent, "budget nearly used up");
        }
    }

    /// Whether a budget limits a message.
    pub(crate) fn limits(
        &self,
        policy: &Policy,
        by: PluginNo,
        to: &ConversationView,
        price: &PriceKey,
    ) -> Result<bool, StoreError> {
        let plugins = self.plugins(&policy.budgets)?;
        let named = |name: &str| plugins.get(name).copied();
        Ok(policy.budgets.iter().any(|budget| budget.counts(&to.channel, by, &price.category, named)))
    }

    /// The budget that a message would exceed.
    pub(crate) fn exceeded(
        &self,
        policy: &Policy,
        draft: &Draft<'_>,
        by: PluginNo,
        facts: &Facts<'_>,
    ) -> Result<Option<ReachedBudget>, StoreError> {
        let (to, now) = (facts.conversation, facts.now);
        if policy.budgets.is_empty() || !draft.body.is_outreach() || (to.group.is_none() && is_free_entry(to, now)) {
            return Ok(None);
        }
        // Its request was sent before: it is part of the use.
        if let Some(message) = draft.message
            && self.reader.pending_charge_sent(message)? == Some(true)
        {
            return Ok(None);
        }
        let plugins = self.plugins(&policy.budgets)?;
        let named = |name: &str| plugins.get(name).copied();
        let price = price_key(draft, facts);
        let category = match &price {
            Some(price) => price.category.clone(),
            None => facts.category(draft).name().to_owned(),
        };
        for budget in policy.budgets.iter().filter(|budget| budget.counts(&to.channel, by, &category, named)) {
            let cost = match &price {
                Some(price) => match policy.rates.rate(&price.country, &price.category, Day::of(now)) {
                    Some(rate) => rate,
                    None => return Ok(Some(unknown_rate(budget, price))),
                },
                // Each member's price is known only afterwards.
                None => Money(1),
            };
            let fits = |reserved: Money| -> Result<_, StoreError> {
                let usage = self.usage(budget, policy, &plugins, draft.message.is_none(), now)?;
                Ok((usage.used() + reserved + cost <= budget.amount, usage))
            };
            // When a plugin asks, reserved messages are among everything queued.
            let reserved =
                || draft.message.map_or(Money::default(), |message| self.reserved(message, budget, &plugins));
            let (mut does_fit, mut usage) = fits(reserved())?;
            if !does_fit {
                self.release_sent()?;
                (does_fit, usage) = fits(reserved())?;
            }
            if !does_fit {
                return Ok(Some(reached(&usage, cost, &policy.rates.currency, now)));
            }
        }
        Ok(None)
    }

    /// What is reserved of a budget, without this message.
    fn reserved(&self, without: MessageId, budget: &Budget, plugins: &Plugins) -> Money {
        let named = |name: &str| plugins.get(name).copied();
        let memory = self.memory.lock();
        let others = memory.reserved.iter().filter(|(message, _)| **message != without).map(|(_, reserved)| reserved);
        let counted =
            others.filter(|reserved| budget.counts(&reserved.channel, reserved.plugin, &reserved.category, named));
        counted.map(|reserved| reserved.cost).sum()
    }

    /// Reserves the cost of a message that the gate has passed.
    pub(crate) fn reserve(
        &self,
        policy: &Policy,
        message: MessageId,
        by: PluginNo,
        to: &ConversationView,
        price: &PriceKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let cost = policy.rates.rate(&price.country, &price.category, Day::of(now)).unwrap_or_default();
        let reservation =
            Reservation { channel: to.channel.to_string(), plugin: by, category: price.category.clone(), cost };
        let count = {
            let mut memory = self.memory.lock();
            memory.reserved.insert(message, reservation);
            memory.reserved.len()
        };
        if count > MANY_RESERVATIONS { self.release_sent() } else { Ok(()) }
    }

    /// Removes the reservations of messages that the store has as sent, or that will not be
    /// charged.
    fn release_sent(&self) -> Result<(), StoreError> {
        let messages: Vec<MessageId> = self.memory.lock().reserved.keys().copied().collect();
        for message in messages {
            if self.reader.pending_charge_sent(message)? != Some(false) {
                self.memory.lock().reserved.remove(&message);
            }
        }
        Ok(())
    }
}

/// What the price of a message depends on; `None` if it costs nothing or is known only afterwards.
pub(crate) fn price_key(draft: &Draft<'_>, facts: &Facts<'_>) -> Option<PriceKey> {
    let to = facts.conversation;
    if !draft.body.is_outreach() || to.group.is_some() || is_free_entry(to, facts.now) {
        return None;
    }
    let category = match facts.category(draft) {
        // As for all other rules: the platform decides, and this is the most expensive one.
        Category::Unknown => Category::Marketing,
        category => category,
    };
    let country = beadle_model::country_of(&to.address).unwrap_or_default();
    Some(PriceKey { country: country.to_owned(), category: category.name().to_owned() })
}

/// Whether messages cost nothing because the person came from an advertisement.
fn is_free_entry(to: &ConversationView, now: Timestamp) -> bool {
    to.free_entry_until.is_some_and(|until| now < until)
}

fn unknown_rate(budget: &Budget, price: &PriceKey) -> ReachedBudget {
    let country = if price.country.is_empty() { "an unknown country" } else { &price.country };
    ReachedBudget {
        reason: format!(
            "Budget `{}` applies, but the file of rates has no rate for {} messages to {country}.",
            budget.name, price.category
        ),
        until: None,
    }
}

fn reached(usage: &BudgetUse, cost: Money, currency: &str, now: Timestamp) -> ReachedBudget {
    let BudgetUse { budget, .. } = usage;
    let next = Timestamp(usage.until.start().0.min(now.plus_ms(DAY_MS).0));
    ReachedBudget {
        reason: format!(
            "Budget `{}` allows {} {currency} per {}; {} are used, and the message would cost {cost}.",
            budget.name,
            budget.amount,
            budget.period.name(),
            usage.used()
        ),
        until: (budget.when_used_up == WhenUsedUp::Defer).then_some(next),
    }
}
