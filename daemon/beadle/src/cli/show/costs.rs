//! What messages cost.

use super::text::{Output, Result, Screen};
use crate::api::{CostRow, Costs};
use crate::cli::table::Table;
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle costs`
pub fn costs(response: Value, screen: Screen) -> Result {
    let costs: Costs = from_value(response)?;
    let currency = costs.currency.as_deref();
    let key = costs.by.to_uppercase();
    let headings = [key.as_str(), "MESSAGES", "FREE", "UNPRICED"].into_iter().chain(currency);
    let mut table = Table::new(&headings.collect::<Vec<_>>());
    let mut add = |key: String, row: &CostRow| {
        let numbers = [row.messages, row.free, row.unpriced].map(|number| number.to_string());
        table.row([key].into_iter().chain(numbers).chain(currency.map(|_| row.estimate.clone())));
    };
    for row in &costs.items {
        add(if row.key.is_empty() { "unknown".into() } else { row.key.clone() }, row);
    }
    add("total".into(), &costs.total);
    if costs.pending.messages > 0 {
        add("not priced yet".into(), &costs.pending);
    }
    let mut text = format!("{} to {} (UTC)\n\n{}", costs.from, costs.to, table.print(screen.width));
    if !costs.free_service.is_empty() {
        let mut table = Table::new(&["CHANNEL", "FREE SERVICE MESSAGES THIS MONTH"]);
        for channel in &costs.free_service {
            let limit = channel.limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
            table.row([channel.channel.clone(), format!("{}{limit}", channel.used)]);
        }
        let _ = write!(text, "\n{}", table.print(screen.width));
    }
    if !costs.budgets.is_empty() {
        let mut table = Table::new(&["BUDGET", "PERIOD", "FROM", "USED", "OF", "SHARE", "STATE"]);
        for budget in &costs.budgets {
            table.row([
                budget.name.clone(),
                budget.period.clone(),
                budget.from.clone(),
                budget.used.clone(),
                format!("{} {}", budget.amount, currency.unwrap_or_default()),
                format!("{} %", budget.percent),
                budget.state.clone(),
            ]);
        }
        let _ = write!(text, "\n{}", table.print(screen.width));
    }
    let mut hints = vec!["these are estimates; WhatsApp's invoice counts".to_owned()];
    match (&costs.currency, &costs.rates) {
        (None, _) => hints.push("set `[costs] rates` to estimate amounts".into()),
        (Some(_), None) => hints.push(format!("the file of rates has no list for {}", costs.to)),
        (Some(_), Some(rates)) => {
            hints.push(format!("the rates are valid from {}; source: {}", rates.from, rates.source))
        }
    }
    if costs.currency.is_some() && costs.total.unpriced + costs.pending.unpriced > 0 {
        hints.push("unpriced messages are not in the estimate: the file of rates lacks their rates".into());
    }
    Ok(Output::new(&text, &hints))
}
