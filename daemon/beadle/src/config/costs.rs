//! `[costs]`, the file of rates that it names, and `[[budgets]]`.
//!
//! The file is TOML of its own, because it is data that is replaced as a whole whenever the
//! platform changes its prices. Its errors are shown like those of the configuration.

use super::diagnostic::{Diagnostic, Source, Span};
use super::read::{Context, NAME_FORM, Section, is_name};
use super::tree::{self, Table, Value};
use beadle_gate::costs::{Budget, Money, Period, RateList, Rates, WhenUsedUp};
use beadle_model::Day;
use beadle_model::effect::PriceKey;
use std::collections::BTreeMap;
use std::path::Path;

/// Far above the platform's list of all countries.
const MAX_BYTES: u64 = 1024 * 1024;
/// Every message is compared with each.
const MAX_BUDGETS: usize = 100;
/// Of a budget and of a rate, in the currency's unit.
const MAX_AMOUNT: f64 = 1e9;

/// The categories that have a rate.
const CATEGORIES: [&str; 5] = ["marketing", "utility", "authentication", "authentication-international", "service"];

/// `[costs]`: the rates; `None` if a file is named and has errors.
pub fn costs(mut section: Section<'_>) -> Option<Rates> {
    let rates = section.string("rates").map_or(Some(Rates::default()), |(name, span)| {
        let path = section.context.base.join(&name);
        match read_file(section.context, &path) {
            Ok(rates) => rates,
            Err(reason) => {
                let message = format!("cannot read rates from {}", path.display());
                let diagnostic = Diagnostic::new("config-unreadable", span, message).label(reason);
                let help = "name a file in the form of the installed rates.toml, or remove `rates`";
                section.context.report(diagnostic.help(help));
                None
            }
        }
    });
    section.end();
    rates
}

/// `Ok(None)` after errors in the file, which are reported.
fn read_file(context: &Context<'_>, path: &Path) -> Result<Option<Rates>, String> {
    context.note_input(path);
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("the file has {size} bytes, the maximum is {MAX_BYTES}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let number = context.add_source(Source { path: path.to_owned(), text: text.clone() });
    let mut diagnostics = context.diagnostics.borrow_mut();
    let before = diagnostics.len();
    let tree = tree::parse(number, &text, &mut diagnostics);
    drop(diagnostics);
    // Its keys are not keys of the configuration.
    let inner = Context {
        diagnostics: Default::default(),
        warnings: Default::default(),
        known: Default::default(),
        inputs: Default::default(),
        more_sources: Default::default(),
        sources: context.sources,
        base: context.base,
        environment: context.environment,
    };
    let rates = rates(&inner, &tree);
    context.diagnostics.borrow_mut().append(inner.diagnostics.into_inner());
    Ok((context.diagnostics.borrow().len() == before).then_some(rates))
}

fn rates(context: &Context<'_>, tree: &Table) -> Rates {
    let mut root = Section::root(context, tree);
    let currency = root.required("currency", "EUR").and_then(|text| currency(&root, text)).unwrap_or_default();
    let free = root.get("free_service_messages").is_some();
    let free = free.then(|| root.integer("free_service_messages", 0, 0..=1_000_000_000).unsigned_abs());
    let mut lists = BTreeMap::new();
    let mut spans: BTreeMap<Day, Span> = BTreeMap::new();
    for mut section in root.tables("lists") {
        let from = first_day(&mut section);
        let source = section.required("source", "WhatsApp's list of rates, read on 2026-11-29");
        let rates = markets(&mut section);
        section.end();
        let Some(((from, span), (source, _))) = from.zip(source) else { continue };
        if let Some(first) = spans.insert(from, span.clone()) {
            let diagnostic = Diagnostic::new("config-duplicate", span, format!("two lists begin on {from}"));
            context.report(diagnostic.label("used again here").related(first, "first used here"));
        }
        lists.insert(from, RateList { source, rates });
    }
    root.end();
    Rates { currency, free_service_messages: free, lists }
}

/// The first day of a list.
fn first_day(section: &mut Section<'_>) -> Option<(Day, Span)> {
    let Some(entry) = section.get("from") else {
        section.missing("from", "2026-10-01");
        return None;
    };
    let (Value::String(text) | Value::Datetime(text)) = &entry.node.value else {
        section.wrong_type(&entry.node, "from", "a date", "from = \"2026-10-01\"");
        return None;
    };
    let span = entry.node.span.clone();
    match text.parse() {
        Ok(day) => Some((day, span)),
        Err(_) => {
            section.invalid(&span, "`from` must be a date", "such as \"2026-10-01\"");
            None
        }
    }
}

fn markets(section: &mut Section<'_>) -> BTreeMap<PriceKey, Money> {
    let mut rates = BTreeMap::new();
    let mut spans: BTreeMap<String, Span> = BTreeMap::new();
    for mut market in section.tables("markets") {
        let countries = market.strings("countries").unwrap_or_default();
        if countries.is_empty() {
            market.missing("countries", "[\"DE\"]");
        }
        let found = CATEGORIES.map(|category| (category, amount(&mut market, category, true)));
        for (country, span) in countries {
            if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
                let message = format!("invalid country `{country}`");
                market.invalid(&span, message, "must be a code of ISO 3166, such as \"DE\"");
                continue;
            }
            if let Some(first) = spans.insert(country.clone(), span.clone()) {
                let message = format!("two markets of a list contain `{country}`");
                let diagnostic = Diagnostic::new("config-duplicate", span, message);
                market.context.report(diagnostic.label("used again here").related(first, "first used here"));
                continue;
            }
            for (category, rate) in found {
                let key = PriceKey { country: country.clone(), category: category.to_owned() };
                rates.extend(rate.map(|rate| (key, rate)));
            }
        }
        market.end();
    }
    rates
}

/// An amount of money; `zero`: whether it may be 0.
fn amount(section: &mut Section<'_>, key: &'static str, zero: bool) -> Option<Money> {
    let node = &section.get(key)?.node;
    let value = match node.value {
        Value::Float(value) => value,
        Value::Integer(value) => value as f64,
        _ => {
            section.wrong_type(node, key, "a number", &format!("{key} = 0.05"));
            return None;
        }
    };
    let micros = value * 1e6;
    let problem = if !(0.0..=MAX_AMOUNT).contains(&value) || (value == 0.0 && !zero) {
        if zero { "must not be negative" } else { "must be more than 0" }
    } else if (micros - micros.round()).abs() > 1e-3 {
        "must have at most six decimals"
    } else {
        return Some(Money(micros.round() as u64));
    };
    section.invalid(&node.span, format!("`{key}` {problem}"), "such as 0.05");
    None
}

fn currency(section: &Section<'_>, (text, span): (String, Span)) -> Option<String> {
    let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_code {
        section.invalid(&span, format!("invalid currency `{text}`"), "must be a code of ISO 4217, such as \"EUR\"");
    }
    is_code.then_some(text)
}

/// `[[budgets]]`
pub fn budgets(root: &mut Section<'_>, rates: Option<&Rates>, channels: &[&str]) -> Vec<Budget> {
    let mut budgets: Vec<Budget> = Vec::new();
    let mut spans: BTreeMap<String, Span> = BTreeMap::new();
    let sections = root.tables("budgets");
    if let Some(beyond) = sections.get(MAX_BUDGETS) {
        let span = beyond.span.clone().unwrap_or_default();
        beyond.invalid(&span, format!("there must be at most {MAX_BUDGETS} budgets"), "one too many");
    }
    for mut section in sections.into_iter().take(MAX_BUDGETS) {
        let named = section.required("name", "marketing");
        let budget = budget(&mut section, rates, channels);
        let place = section.span.clone().unwrap_or_default();
        section.end();
        let Some((name, span)) = named else { continue };
        if !is_name(&name) {
            root.invalid(&span, format!("invalid name `{name}`"), NAME_FORM);
        }
        if let Some(first) = spans.insert(name.clone(), span.clone()) {
            let message = format!("two budgets have the name `{name}`");
            let diagnostic = Diagnostic::new("config-duplicate", span, message).label("used again here");
            root.context.report(diagnostic.related(first, "first used here").help("rename one of them"));
            continue;
        }
        let Some(budget) = budget else { continue };
        let is_same = |other: &&Budget| {
            (&other.plugin, &other.channel, &other.category, other.period)
                == (&budget.plugin, &budget.channel, &budget.category, budget.period)
        };
        if let Some(other) = budgets.iter().find(is_same) {
            let message = format!("budgets `{}` and `{name}` are for the same messages and period", other.name);
            root.context.report(Diagnostic::new("config-duplicate", place, message).help("remove one of them"));
            continue;
        }
        budgets.push(Budget { name, ..budget });
    }
    budgets
}

/// A budget without its name; `None` after any error: without a key it would be for more than was
/// meant.
fn budget(section: &mut Section<'_>, rates: Option<&Rates>, channels: &[&str]) -> Option<Budget> {
    let before = section.context.diagnostics.borrow().len();
    let plugin = section.string("plugin").and_then(|(name, span)| {
        if !is_name(&name) {
            section.invalid(&span, format!("invalid plugin name `{name}`"), NAME_FORM);
        }
        is_name(&name).then_some(name)
    });
    let channel = section.string("channel");
    if let Some((name, span)) = &channel
        && !channels.contains(&name.as_str())
    {
        section.unknown_name(span.clone(), "channel", name, channels);
    }
    let category = section.choice("category", &CATEGORIES.map(|name| (name, name))).map(str::to_owned);
    let periods = [("day", Period::Day), ("month", Period::Month)];
    let period = section.choice("period", &periods).unwrap_or(Period::Month);
    let when_used_up = section.choice("when_used_up", &[("refuse", WhenUsedUp::Refuse), ("defer", WhenUsedUp::Defer)]);
    if section.get("amount").is_none() {
        let place = section.span.clone().unwrap_or_default();
        let diagnostic = Diagnostic::new("config-missing", place, "`amount` is missing in `[[budgets]]`");
        section.context.report(diagnostic.label("required in this table").help("add `amount = 50`"));
    }
    let amount = amount(section, "amount", false);
    if let (Some((text, span)), Some(rates)) = (section.required("currency", "EUR"), rates) {
        if rates.currency.is_empty() {
            let message = "a budget needs `[costs] rates`, of which it is counted";
            let diagnostic = Diagnostic::new("config-missing", span, message).label("no rates are configured");
            section.context.report(diagnostic.help("add `rates = \"rates.toml\"` to `[costs]`"));
        } else if text != rates.currency {
            let message = format!("`currency` must be that of the rates, `{}`", rates.currency);
            section.invalid(&span, message, "amounts are not converted");
        }
    }
    if section.context.diagnostics.borrow().len() != before {
        return None;
    }
    Some(Budget {
        name: String::new(),
        plugin,
        channel: channel.map(|(name, _)| name),
        category,
        period,
        amount: amount?,
        when_used_up: when_used_up.unwrap_or_default(),
    })
}
