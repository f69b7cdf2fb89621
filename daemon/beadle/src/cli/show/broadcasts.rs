//! Broadcasts.

use super::text::{Lines, Output, Result, Screen, or_dash, print_list, problem, utc};
use crate::api::{
    BroadcastCounts, BroadcastSummary, BroadcastView, CodeCount, List, PlanBudget, PlanView, RecipientView,
};
use crate::cli::table::{Table, cut, duration, when};
use beadle_model::broadcast::can_repeat;
use beadle_model::text::counted;
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle broadcasts list`
pub fn broadcasts(response: Value, screen: Screen) -> Result {
    let list: List<BroadcastSummary> = from_value(response)?;
    let heading = ["BROADCAST", "NAME", "AUTHOR", "STATE", "RECIPIENTS", "SENT", "READ", "FAILED", "CREATED"];
    let mut table = Table::new(&heading).flexible(&["NAME"]);
    for row in &list.items {
        let counts = &row.recipients;
        table.row([
            row.id.clone(),
            row.name.clone(),
            row.author.clone(),
            row.state.clone(),
            grouped(counts.total),
            percent(counts.sent, counts.total),
            percent(counts.read, counts.total),
            grouped(counts.failed),
            when(row.created_at, list.now),
        ]);
    }
    let next = list.next.map(|id| format!("--before {id}"));
    Ok(print_list(&table, list.items.len(), "No broadcasts.", next, screen))
}

/// A share in percent; `None` of nothing.
fn share(part: u64, whole: u64) -> Option<u64> {
    (part * 100).checked_div(whole)
}

/// `12 (40 %)`
fn percent(part: u64, whole: u64) -> String {
    match share(part, whole) {
        Some(share) if part > 0 => format!("{} ({share} %)", grouped(part)),
        _ => grouped(part),
    }
}

/// `beadle broadcasts show`, and the responses of `create` and `plan`.
pub fn broadcast(response: Value, screen: Screen) -> Result {
    let view: BroadcastView = from_value(response)?;
    let mut text = head(&view).print();
    let mut hints: Vec<String> = Vec::new();
    if view.row.started_at.is_some() {
        let _ = write!(text, "\n{}", progress(&view, screen));
    }
    if !view.codes.is_empty() {
        let _ = write!(text, "\n{}", codes(&view.codes, screen));
    }
    match &view.plan {
        Some(plan) if view.row.started_at.is_none() => text.push_str(&planned(plan, &view, screen)),
        Some(_) => {}
        None => hints.push(format!("run `beadle broadcasts plan {}` to select the recipients", view.row.name)),
    }
    hints.extend(next_steps(&view));
    Ok(Output::new(&text, &hints))
}

fn head(view: &BroadcastView) -> Lines {
    let row = &view.row;
    let message = match (&view.template, view.has_text) {
        (Some(template), true) => format!("text in open windows, otherwise template {template}"),
        (Some(template), false) => format!("template {template}"),
        (None, _) => "text, in open windows only".into(),
    };
    let state = match (&row.reason, view.planning) {
        (_, Some(people)) => format!("{}; planning, {} checked", row.state, counted(people, "person", "people")),
        (Some(reason), None) => format!("{}: {}", row.state, problem(reason)),
        (None, None) => row.state.clone(),
    };
    let mut lines = vec![
        ("broadcast", format!("{} ({})", row.name, row.id)),
        ("state", state),
        ("audience", view.audience.clone()),
        ("message", message),
        ("purpose", view.purpose.clone()),
        ("channel", row.channel.clone()),
        ("created", format!("{} by {}", utc(row.created_at), row.created_by)),
    ];
    if let Some(by) = &row.approved_by {
        lines.push(("approved by", by.clone()));
    }
    if let Some(at) = row.started_at {
        lines.push(("started", utc(at)));
    }
    if let Some(at) = view.expires_at {
        lines.push(("expires", utc(at)));
    }
    if let Some(at) = row.ended_at {
        lines.push(("ended", utc(at)));
    }
    Lines(lines)
}

/// The progress: a bar, and a line for each state.
fn progress(view: &BroadcastView, screen: Screen) -> String {
    let counts = &view.row.recipients;
    let mut text = format!("{}\n", bar(view, screen));
    let mut table = Table::new(&["", "PEOPLE", ""]);
    let rows = [
        ("sent", counts.sent),
        ("  delivered", counts.delivered),
        ("  read", counts.read),
        ("  replied", counts.replied),
        ("  opted out", counts.opted_out),
        ("in the outbox", counts.queued),
        ("held", counts.held),
        ("failed", counts.failed),
        ("planned", counts.planned),
    ];
    for (name, count) in rows {
        let share = share(count, counts.total).map(|share| format!("{share} %")).unwrap_or_default();
        table.row([name.into(), grouped(count), if count > 0 { share } else { String::new() }]);
    }
    text.push_str(&table.print(screen.width));
    text
}

/// The number of cells of the bar.
const BAR: u64 = 30;

/// `[##################............]  60 %  12,000 of 20,000  about 2 min left`
pub fn bar(view: &BroadcastView, screen: Screen) -> String {
    let BroadcastCounts { total, sent, failed, .. } = view.row.recipients;
    let done = sent + failed;
    let filled = (done * BAR).checked_div(total).unwrap_or(0).min(BAR);
    let cell = |nth: u64| if nth < filled { '#' } else { '.' };
    let bar: String = (0..BAR).map(cell).collect();
    let share = share(done, total).unwrap_or(0);
    let mut line = format!("[{bar}] {share:>3} %  {} of {}", grouped(done), grouped(total));
    if failed > 0 {
        let _ = write!(line, ", {} failed", grouped(failed));
    }
    match (&*view.row.state, view.expected_end, &view.waits_for) {
        ("sending", _, Some(check)) => {
            let until =
                view.waits_until.map(|at| format!(", checked again {}", when(at, view.now))).unwrap_or_default();
            let _ = write!(line, "  waits for {check}{until}");
        }
        ("sending", Some(end), None) => {
            let _ = write!(line, "  about {} left", duration((end - view.now).max(0)));
        }
        (state, ..) => {
            let _ = write!(line, "  {state}");
        }
    }
    screen.width.map_or(line.clone(), |width| cut(&line, width))
}

/// `12,345`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn codes(codes: &[CodeCount], screen: Screen) -> String {
    let mut table = Table::new(&["STATE", "REASON", "PEOPLE"]);
    for row in codes {
        table.row([row.state.clone(), row.code.clone(), grouped(row.recipients)]);
    }
    table.print(screen.width)
}

/// The plan.
fn planned(plan: &PlanView, view: &BroadcastView, screen: Screen) -> String {
    let excluded: u64 = plan.excluded.iter().map(|row| row.recipients).sum();
    let mut lines = vec![
        (
            "recipients",
            format!(
                "{} of {} people; {} excluded",
                grouped(plan.recipients),
                grouped(plan.audience),
                grouped(excluded)
            ),
        ),
        ("open windows", grouped(plan.open_windows)),
        ("cost", cost(plan)),
    ];
    for budget in &plan.budgets {
        let PlanBudget { name, period, amount, left, estimate, .. } = budget;
        let currency = &plan.currency;
        let text = format!("{name}: {left} of {amount} {currency} left this {period}, {estimate} estimated");
        lines.push(("budget", text));
    }
    if let Some(left) = view.messaging_limit_left {
        let beyond = plan.recipients.saturating_sub(plan.open_windows).saturating_sub(left);
        let more = if beyond > 0 { format!("; {} recipients beyond it wait", grouped(beyond)) } else { String::new() };
        lines.push(("messaging limit", format!("{} people left in 24 hours{more}", grouped(left))));
    }
    if let Some(end) = view.expected_end {
        let takes = duration((end - view.now).max(0));
        lines.push(("takes about", format!("{takes}, at {} messages per second", view.messages_per_second)));
    }
    for row in &plan.deferred {
        lines.push(("deferred now", format!("{} by {}", grouped(row.recipients), row.code)));
    }
    let mut text = format!("\n{}", Lines(lines).print());
    for warning in plan.budgets.iter().flat_map(budget_warnings) {
        let _ = writeln!(text, "warning: {warning}");
    }
    if plan.costs.len() > 1 || (is_paid(plan) && plan.cost.is_none()) {
        let mut table = Table::new(&["MARKET", "CATEGORY", "PEOPLE", "COST"]);
        for row in &plan.costs {
            let amount = row.amount.as_ref().map(|amount| format!("{amount} {}", plan.currency));
            let country = if row.category == "service" { "any".into() } else { or_dash(Some(&row.country)) };
            let amount =
                if row.category == "service" { "free".into() } else { amount.unwrap_or_else(|| "rate unknown".into()) };
            table.row([country, row.category.clone(), grouped(row.recipients), amount.trim().to_owned()]);
        }
        let _ = write!(text, "\n{}", table.print(screen.width));
    }
    let mut last: Option<&str> = None;
    for sample in &plan.samples {
        if last != Some(&sample.kind) {
            let _ = write!(text, "\n{}\n", sample.kind);
            last = Some(&sample.kind);
        }
        for (index, line) in sample.lines.iter().enumerate() {
            let contact = if index == 0 { &*sample.contact } else { "" };
            let _ = writeln!(text, "  {contact:10}  {line}");
        }
    }
    text
}

fn is_paid(plan: &PlanView) -> bool {
    plan.costs.iter().any(|row| row.category != "service")
}

fn cost(plan: &PlanView) -> String {
    match (&plan.cost, is_paid(plan)) {
        (_, false) => "free".into(),
        (Some(cost), true) => format!("{cost} {} (estimate)", plan.currency),
        (None, true) if plan.currency.is_empty() => "unknown: there are no rates (`[costs] rates`)".into(),
        (None, true) => {
            let unpriced = plan.costs.iter().filter(|row| row.category != "service" && row.amount.is_none());
            let mut markets: Vec<String> = unpriced
                .map(|row| match row.country.as_str() {
                    "" => format!("{} to an unknown country", row.category),
                    country => format!("{} to {country}", row.category),
                })
                .collect();
            let more = markets.len().saturating_sub(MARKETS);
            markets.truncate(MARKETS);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("unknown: the file of rates has no rate for {}{more}", markets.join(", "))
        }
    }
}

/// The maximum number of markets without a rate that are named in a line; the table has all.
const MARKETS: usize = 5;

/// What will happen because of a budget.
fn budget_warnings(budget: &PlanBudget) -> Vec<String> {
    let name = &budget.name;
    let mut warnings = Vec::new();
    if budget.is_exceeded {
        let (left, estimate) = (&budget.left, &budget.estimate);
        let then = match budget.waits {
            true => format!("when it is used up, the broadcast waits for the next {}", budget.period),
            false => "when it is used up, the broadcast is paused".into(),
        };
        warnings.push(format!("the estimate {estimate} is more than budget `{name}` has left ({left}); {then}"));
    }
    if budget.unpriced > 0 {
        let people = counted(budget.unpriced, "recipient", "recipients");
        warnings.push(format!(
            "budget `{name}` lets no message without a rate pass: there is none for {people}, and the broadcast is \
             paused when it is their turn"
        ));
    }
    warnings
}

/// The commands that are possible next.
fn next_steps(view: &BroadcastView) -> Option<String> {
    let name = &view.row.name;
    match &*view.row.state {
        _ if view.needs_approval => {
            Some(format!("a second person must approve the broadcast: `beadle broadcasts approve {name} --by NAME`"))
        }
        "planned" => Some(format!(
            "`beadle broadcasts test {name} con_…` sends it to one contact, `beadle broadcasts start {name}` to all"
        )),
        "paused" => {
            Some(format!("`beadle broadcasts resume {name}` resumes it, `beadle broadcasts stop {name}` ends it"))
        }
        "finished" => match repeatable(view) {
            0 => None,
            failed => {
                let messages = counted(failed, "failed message", "failed messages");
                Some(format!("`beadle broadcasts resume {name} --failed` sends {messages} again"))
            }
        },
        _ => None,
    }
}

/// The number of recipients whose message failed and may be sent again.
fn repeatable(view: &BroadcastView) -> u64 {
    let failed = view.codes.iter().filter(|row| row.state == "failed" && !can_repeat(&row.code));
    view.row.recipients.failed.saturating_sub(failed.map(|row| row.recipients).sum())
}

/// `beadle broadcasts recipients`
pub fn recipients(response: Value, screen: Screen) -> Result {
    let list: List<RecipientView> = from_value(response)?;
    let mut table = Table::new(&["CONTACT", "STATE", "REASON", "LANGUAGE", "MESSAGE", "SENT", "REPLIED"]);
    for row in &list.items {
        let time = |at: Option<i64>| at.map_or_else(|| "-".into(), |at| when(at, list.now));
        let reason = match (&row.code, row.due_at) {
            (Some(code), Some(at)) => format!("{code}, {}", when(at, list.now)),
            (code, _) => or_dash(code.as_deref()),
        };
        table.row([
            row.contact.clone(),
            row.state.clone(),
            reason,
            or_dash(row.language.as_deref()),
            or_dash(row.message.as_deref()),
            time(row.sent_at),
            time(row.replied_at),
        ]);
    }
    let next = list.next.map(|id| format!("--after {id}"));
    Ok(print_list(&table, list.items.len(), "No recipients.", next, screen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (20_000, "20,000"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }
}
