//! What messages cost.

use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};

/// `GET /costs`
#[derive(Debug, Deserialize, Serialize)]
pub struct Costs {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// The first day, in UTC.
    pub from: String,
    /// The last day.
    pub to: String,
    /// What the rows are for: `day`, `category`, `country`, `plugin`, `channel` or `broadcast`.
    pub by: String,
    /// The currency of the estimates; none without rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// The list of rates that is in force on the last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<RatesInForce>,
    /// What WhatsApp charged.
    pub items: Vec<CostRow>,
    /// All of it.
    pub total: CostRow,
    /// Templates and Direct Send without a price yet: queued, or sent and not delivered.
    pub pending: CostRow,
    /// Free service messages of each channel in the month of the last day.
    pub free_service: Vec<FreeService>,
    /// The budgets as of now.
    pub budgets: Vec<BudgetState>,
}

/// A list of rates.
#[derive(Debug, Deserialize, Serialize)]
pub struct RatesInForce {
    /// Its first day.
    pub from: String,
    /// Where its figures are from.
    pub source: String,
}

/// Charged messages.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct CostRow {
    /// The day, category, country, plugin, channel or broadcast (name and id; `none` for messages
    /// of none); empty if it is not known.
    pub key: String,
    /// Their number.
    pub messages: u64,
    /// Of which cost nothing.
    pub free: u64,
    /// Of which the rate is not known; they are not in the estimate.
    pub unpriced: u64,
    /// What the others cost, as a decimal number.
    pub estimate: String,
}

/// The free service messages of a channel.
#[derive(Debug, Deserialize, Serialize)]
pub struct FreeService {
    /// The channel.
    pub channel: String,
    /// Their number.
    pub used: u64,
    /// How many there are in a month, if the file of rates says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// The use of a budget.
#[derive(Debug, Deserialize, Serialize)]
pub struct BudgetState {
    /// Its name.
    pub name: String,
    /// `day` or `month`.
    pub period: String,
    /// The first day of the current period.
    pub from: String,
    /// The limit.
    pub amount: String,
    /// What was charged and what has no price yet, by estimate.
    pub used: String,
    /// The share that is used.
    pub percent: u64,
    /// Messages whose rate is not known; they do not count.
    pub unpriced: u64,
    /// `ok`, `warning` from 80 %, or `used-up`.
    pub state: String,
}
