//! Collects the facts that the gate decides by, and asks it: when a plugin asks, before a message
//! is sent, and for `beadle gate explain`.
//!
//! `gate` has the rules and the store has the rows; this crate reads the facts. A message inside an
//! open window that uses no template, and about which its sender states nothing, needs no fact from
//! the store.

mod budgets;
mod messaging_limit;
mod policy;
mod quiet;

pub use budgets::BudgetUse;
pub use policy::{MarketingCaps, Policy, QuietFor};
pub use quiet::{QuietHours, TimeOfDay};

use beadle_gate::costs::Rates;
use beadle_gate::{Category, Circumstances, Draft, Facts, GateVerdict, MessagingLimitFacts, ReachedCap, TemplateFacts};
use beadle_model::effect::{Outreach, PriceKey};
use beadle_model::event::Problem;
use beadle_model::outgoing::Template;
use beadle_model::time::{CLOCK_AHEAD_MS, DAY_MS, HOUR_MS};
use beadle_model::{
    ContactId, ConversationView, GateTrace, MessageId, Outgoing, PluginNo, TemplateDefinition, Timestamp, country_of,
};
use beadle_store::{KnownTemplates, MarketingSends, OutreachHold, Reader, StoreError, TemplateFilter};
use budgets::Budgets;
use messaging_limit::MessagingLimits;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Maximum number of templates that a plugin is offered.
const CANDIDATES: usize = 50;

/// The gate with its facts. Cheap to clone.
#[derive(Clone)]
pub struct Gatekeeper(Arc<Inner>);

impl std::fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Gatekeeper").field(&*self.policy()).finish()
    }
}

struct Inner {
    reader: Reader,
    policy: RwLock<Arc<Policy>>,
    messaging_limits: Mutex<MessagingLimits>,
    budgets: Budgets,
    holds: Mutex<BTreeMap<String, OutreachHold>>,
}

/// What the gate decided about a message.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The verdict.
    pub verdict: GateVerdict,
    /// The results of the checks.
    pub trace: GateTrace,
    /// How the message counts, if the business writes first.
    pub outreach: Option<Outreach>,
    /// Whether a budget limits it, so that the gate is asked again before it is sent.
    pub is_budgeted: bool,
}

/// A template that can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Its language, the best for the recipient.
    pub language: String,
    /// `marketing`, `utility` or `authentication`.
    pub category: String,
    /// What has to be filled in ([`beadle_gate::templates::parameter_names`]).
    pub parameters: Vec<String>,
}

/// What can be sent to a recipient now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Messages of any kind until then.
    pub any_until: Option<Timestamp>,
    /// Templates.
    pub templates: Vec<Candidate>,
}

impl Gatekeeper {
    /// With the operator's settings.
    pub fn new(reader: Reader, policy: Policy) -> Self {
        let policy = RwLock::new(Arc::new(policy));
        let (budgets, (messaging_limits, holds)) = (Budgets::new(reader.clone()), Default::default());
        Self(Arc::new(Inner { reader, policy, messaging_limits, budgets, holds }))
    }

    /// Takes over the holds that were kept before a restart.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn restore_holds(&self) -> Result<(), StoreError> {
        *self.0.holds.lock() = self.0.reader.outreach_holds()?.into_iter().collect();
        Ok(())
    }

    /// Applies new settings.
    pub fn configure(&self, policy: Policy) {
        *self.0.policy.write() = Arc::new(policy);
    }

    /// Whether texts that follow each other in the replies to one event are one message.
    pub fn joins_replies(&self) -> bool {
        self.policy().join_replies
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.0.policy.read())
    }

    /// The rates.
    pub fn rates(&self) -> Rates {
        self.policy().rates.clone()
    }

    /// The use of every budget now.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn budgets(&self, now: Timestamp) -> Result<Vec<BudgetUse>, StoreError> {
        self.0.budgets.uses(&self.policy(), now)
    }

    /// Chooses the language of a template: of those that its account has, the one that was asked
    /// for, its base language, or the operator's. An empty language asks for the recipient's. If
    /// none exists, the language is unchanged and the gate refuses the message.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn choose_language(&self, body: &mut Outgoing, to: &ConversationView) -> Result<(), StoreError> {
        let Outgoing::Template(message) = body else { return Ok(()) };
        let policy = self.policy();
        if message.language.is_empty() {
            let default = || policy.template_language.clone();
            message.language = to.contact.language.clone().or_else(default).unwrap_or_else(|| "en".into());
        }
        if let KnownTemplates::Known(definitions) = self.0.reader.templates_named(&to.channel, &message.name)?
            && let Some(chosen) =
                beadle_gate::templates::choose(&definitions, &message.language, policy.template_language.as_deref())
        {
            message.language.clone_from(&chosen.language);
        }
        Ok(())
    }

    /// Decides about a message, and counts it if it is sent. `by`: the plugin that sends it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn ask(
        &self,
        draft: &Draft<'_>,
        by: PluginNo,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<Decision, StoreError> {
        let mut facts = self.facts(draft, by, to, now)?;
        let (policy, price) = (self.policy(), budgets::price_key(draft, &facts));
        let is_budgeted = price.as_ref().map_or(Ok(false), |price| self.0.budgets.limits(&policy, by, to, price))?;
        let is_free_form = !draft.body.is_outreach();
        let is_counted = !is_free_form || (facts.is_marketing(draft) && to.group.is_none());
        let outreach = is_counted.then(|| Outreach {
            is_marketing: facts.is_marketing(draft),
            topic: draft.topic().map(str::to_owned),
            is_outside_window: !facts.has_open_window(),
            is_free_form,
            price: price.clone(),
        });
        let (mut verdict, mut trace) = beadle_gate::decide(draft, &facts);
        // Counted before it is sent, because other messages are checked in the meantime. Another
        // message may have used the last place, so the gate is asked again.
        if verdict == GateVerdict::Send && draft.message.is_some() && counts_for_messaging_limit(draft.body, &facts) {
            let limit = facts.circumstances.messaging_limit.as_ref().map(|facts| facts.limit);
            let portfolio = policy.portfolio(&to.channel);
            let limit_facts =
                self.0.messaging_limits.lock().take(&portfolio, to.contact.id, limit.unwrap_or(u64::MAX), now);
            facts.circumstances.messaging_limit = limit.map(|_| limit_facts);
            (verdict, trace) = beadle_gate::decide(draft, &facts);
        }
        if let (GateVerdict::Send, Some(message), Some(price), true) = (&verdict, draft.message, &price, is_budgeted) {
            self.0.budgets.reserve(&policy, message, by, to, price, now)?;
        }
        Ok(Decision { verdict, trace, outreach, is_budgeted })
    }

    /// The results of the checks, without any effect.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn explain(
        &self,
        draft: &Draft<'_>,
        by: PluginNo,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<GateTrace, StoreError> {
        Ok(beadle_gate::decide(draft, &self.facts(draft, by, to, now)?).1)
    }

    /// What the gate says about one of many messages that are planned, and what its price depends
    /// on. `template`: its definition, which is the same for many. Budgets and the messaging limit
    /// are not asked, because they limit all of them together.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn plan(
        &self,
        draft: &Draft<'_>,
        template: TemplateFacts,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<(GateVerdict, Option<PriceKey>), StoreError> {
        let facts = Facts { template, ..Facts::new(to, now) };
        let facts = self.personal_facts(facts, &self.policy(), draft)?;
        Ok((beadle_gate::decide(draft, &facts).0, budgets::price_key(draft, &facts)))
    }

    /// The use of a channel's messaging limit: how many people were written to first in 24 hours,
    /// and how many may be. `None`: no limit is known.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn messaging_limit(&self, channel: &str, now: Timestamp) -> Result<Option<(u64, u64)>, StoreError> {
        let facts = self.messaging_limit_facts(&self.policy(), channel, ContactId(0), now)?;
        Ok(facts.map(|facts| (facts.used, facts.limit)))
    }

    /// The configured channels.
    pub fn channels(&self) -> Vec<String> {
        self.policy().portfolios.keys().cloned().collect()
    }

    /// The language of templates that do not exist in the recipient's.
    pub fn template_language(&self) -> Option<String> {
        self.policy().template_language.clone()
    }

    fn facts<'a>(
        &self,
        draft: &Draft<'_>,
        by: PluginNo,
        to: &'a ConversationView,
        now: Timestamp,
    ) -> Result<Facts<'a>, StoreError> {
        let policy = self.policy();
        let mut facts = Facts::new(to, now);
        if let Outgoing::Template(message) = draft.body {
            facts.template = self.template(message, to)?;
        }
        let mut facts = self.personal_facts(facts, &policy, draft)?;
        if let Some(key) = draft.key {
            facts.circumstances.sent_before = self.0.reader.sent_before(by, key, draft.message)?;
        }
        facts.circumstances.over_budget = self.0.budgets.exceeded(&policy, draft, by, &facts)?;
        if counts_for_messaging_limit(draft.body, &facts) {
            facts.circumstances.messaging_limit =
                self.messaging_limit_facts(&policy, &to.channel, to.contact.id, now)?;
        }
        Ok(facts)
    }

    /// Adds what restricts messages to this recipient.
    fn personal_facts<'a>(
        &self,
        mut facts: Facts<'a>,
        policy: &Policy,
        draft: &Draft<'_>,
    ) -> Result<Facts<'a>, StoreError> {
        let (to, now) = (facts.conversation, facts.now);
        facts.circumstances = Circumstances {
            stop: policy.stop,
            refuses_advertising: policy.refuses_advertising,
            outreach_held_until: self.held_until(draft.body, &to.channel, now),
            erased_at: to.contact.profile().erased_since.filter(|_| to.group.is_none()),
            ..Circumstances::default()
        };
        if draft.body.is_outreach() && to.group.is_none() {
            facts.circumstances.unreachable = self.0.reader.unreachable(to.contact.id, now)?;
        }
        let is_marketing = facts.is_marketing(draft);
        if let Some(quiet) = &policy.quiet_hours
            && to.group.is_none()
            && (is_marketing || (policy.quiet_for == QuietFor::Outreach && !draft.reply))
        {
            facts.circumstances.quiet_until =
                quiet.end(now, to.contact.timezone.as_deref().unwrap_or(&policy.timezone));
        }
        if is_marketing && to.group.is_none() {
            // WhatsApp refuses no texts in an open window.
            if facts.category(draft).may_be_marketing() {
                facts.circumstances.marketing_refused = self.0.reader.marketing_refused(to.contact.id, now)?;
                facts.circumstances.country_without_marketing = country_of(&to.address)
                    .filter(|country| policy.no_marketing_in.iter().any(|listed| listed == country))
                    .map(str::to_owned);
            }
            facts.circumstances.capped = self.capped((draft.message, draft.topic()), &policy.caps, to, now)?;
        }
        Ok(facts)
    }

    fn template(&self, message: &Template, to: &ConversationView) -> Result<TemplateFacts, StoreError> {
        let KnownTemplates::Known(mut definitions) = self.0.reader.templates_named(&to.channel, &message.name)? else {
            return Ok(TemplateFacts::Unknown);
        };
        Ok(match definitions.iter().position(|definition| definition.language == message.language) {
            Some(found) => TemplateFacts::Defined(Box::new(definitions.swap_remove(found))),
            None => TemplateFacts::Missing {
                languages: definitions.into_iter().map(|definition| definition.language).collect(),
            },
        })
    }

    /// The cap that another marketing message would exceed; of several, the one that is free last.
    fn capped(
        &self,
        (message, topic): (Option<MessageId>, Option<&str>),
        caps: &MarketingCaps,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<Option<ReachedCap>, StoreError> {
        let limits = [
            ("per_day", caps.per_day, DAY_MS, None),
            ("per_week", caps.per_week, 7 * DAY_MS, None),
            ("topic_per_week", caps.topic_per_week.filter(|_| topic.is_some()), 7 * DAY_MS, topic),
        ];
        let mut reached: Option<ReachedCap> = None;
        for (name, limit, period_ms, topic) in limits {
            let Some(limit) = limit else { continue };
            let sends = MarketingSends {
                contact: to.contact.id,
                topic,
                since: now.plus_ms(-period_ms),
                until: now.plus_ms(CLOCK_AHEAD_MS),
                before: message,
            };
            let sent = self.0.reader.marketing_sent(&sends)?;
            let over = sent.len().saturating_sub(usize::try_from(limit.saturating_sub(1)).unwrap_or(usize::MAX));
            if let Some(oldest) = over.checked_sub(1).and_then(|over| sent.get(over)) {
                let until = oldest.plus_ms(period_ms);
                if reached.as_ref().is_none_or(|cap| cap.until < until) {
                    reached = Some(ReachedCap {
                        received: format!("{} marketing messages", sent.len()),
                        limit: format!("`[gate.marketing_caps] {name} = {limit}`"),
                        until,
                    });
                }
            }
        }
        Ok(reached)
    }

    fn messaging_limit_facts(
        &self,
        policy: &Policy,
        channel: &str,
        contact: ContactId,
        now: Timestamp,
    ) -> Result<Option<MessagingLimitFacts>, StoreError> {
        let Some(limit) = self.0.reader.messaging_limit(channel)?.filter(|limit| *limit > 0) else {
            return Ok(None);
        };
        let portfolio = policy.portfolio(channel);
        let mut limits = self.0.messaging_limits.lock();
        if !limits.is_loaded(now) {
            let sent = self.0.reader.outreach_since(now.plus_ms(-DAY_MS), now.plus_ms(CLOCK_AHEAD_MS))?;
            limits.load(sent.into_iter().map(|(channel, contact, at)| (policy.portfolio(&channel), contact, at)));
        }
        Ok(Some(limits.facts(&portfolio, contact, limit, now)))
    }

    /// Holds templates and Direct Send of a channel for an hour, doubling to a day with each
    /// refusal (131048). Returns the hold, and whether this call started it, so that the caller
    /// stores it.
    pub fn hold_outreach(&self, channel: &str, problem: &Problem, now: Timestamp) -> (OutreachHold, bool) {
        let mut holds = self.0.holds.lock();
        let before = holds.get(channel);
        if let Some(hold) = before.filter(|hold| is_current(hold, now)) {
            return (hold.clone(), false);
        }
        // After a day without a hold, the duration starts again at an hour.
        let before_ms = before.filter(|hold| now.since_ms(hold.until) < DAY_MS).map(|hold| hold.duration_ms);
        let duration_ms = before_ms.map_or(HOUR_MS, |before_ms| (before_ms * 2).min(DAY_MS));
        let hold = OutreachHold { until: now.plus_ms(duration_ms), duration_ms, problem: problem.clone() };
        holds.insert(channel.to_owned(), hold.clone());
        (hold, true)
    }

    fn held_until(&self, body: &Outgoing, channel: &str, now: Timestamp) -> Option<Timestamp> {
        let holds = self.0.holds.lock();
        holds.get(channel).filter(|hold| body.is_outreach() && is_current(hold, now)).map(|hold| hold.until)
    }

    /// The channels whose templates and Direct Send are held now.
    pub fn holds(&self, now: Timestamp) -> Vec<(String, OutreachHold)> {
        let holds = self.0.holds.lock();
        holds
            .iter()
            .filter(|(_, hold)| is_current(hold, now))
            .map(|(name, hold)| (name.clone(), hold.clone()))
            .collect()
    }

    /// What a plugin can send to a recipient now, without the parameters that a message would have.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn allowed(
        &self,
        by: PluginNo,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<Result<Allowed, beadle_model::Refusal>, StoreError> {
        let text = Outgoing::Text { body: "…".into(), preview_url: false, quote: None };
        let draft = Draft::new(&text);
        let facts = self.facts(&draft, by, to, now)?;
        let any_until = match beadle_gate::decide(&draft, &facts).0 {
            GateVerdict::Refused(refusal) => return Ok(Err(refusal)),
            GateVerdict::TemplateNeeded(_) => None,
            GateVerdict::Send | GateVerdict::Later { .. } => {
                to.window_until.map(|until| until.plus_ms(-beadle_gate::WINDOW_MARGIN_MS))
            }
        };
        Ok(Ok(Allowed { any_until, templates: self.candidates(by, to, now)? }))
    }

    /// The templates that a plugin can send to a recipient now, each in the language that fits
    /// best.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn candidates(
        &self,
        by: PluginNo,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<Vec<Candidate>, StoreError> {
        let filter = TemplateFilter {
            channel: Some(to.channel.to_string()),
            status: Some("approved".into()),
            limit: usize::MAX,
            ..TemplateFilter::default()
        };
        let definitions: Vec<TemplateDefinition> =
            self.0.reader.templates(&filter)?.into_iter().map(|(_, definition)| definition).collect();
        let policy = self.policy();
        let language = to.contact.language.as_deref().or(policy.template_language.as_deref()).unwrap_or("en");
        let (mut possible, mut candidates) = (BTreeMap::new(), Vec::new());
        for definitions in definitions.chunk_by(|one, other| one.name == other.name) {
            if candidates.len() == CANDIDATES {
                break;
            }
            let chosen = beadle_gate::templates::choose(definitions, language, policy.template_language.as_deref());
            let Some(chosen) = chosen.or(definitions.first()) else { continue };
            let is_possible = match possible.get(&chosen.category) {
                Some(is_possible) => *is_possible,
                None => {
                    let is_possible = self.is_possible(&chosen.category, by, to, now)?;
                    possible.insert(chosen.category.clone(), is_possible);
                    is_possible
                }
            };
            if is_possible {
                candidates.push(Candidate {
                    name: chosen.name.clone(),
                    language: chosen.language.clone(),
                    category: chosen.category.clone(),
                    parameters: beadle_gate::templates::parameter_names(chosen),
                });
            }
        }
        Ok(candidates)
    }

    /// Whether the gate would pass an approved template of this category, with any parameters.
    fn is_possible(
        &self,
        category: &str,
        by: PluginNo,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let template = Template { category: Some(category.to_owned()), ..Template::new("", "") };
        let body = Outgoing::Template(Box::new(template));
        let draft = Draft::new(&body);
        let mut facts = self.facts(&draft, by, to, now)?;
        // Its parameters are not known yet.
        facts.template = TemplateFacts::Unknown;
        Ok(matches!(beadle_gate::decide(&draft, &facts).0, GateVerdict::Send | GateVerdict::Later { .. }))
    }

    /// The category of a message on its way to this recipient.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn category(&self, body: &Outgoing, to: &ConversationView) -> Result<Category, StoreError> {
        let mut facts = Facts::new(to, Timestamp::default());
        if let Outgoing::Template(message) = body {
            facts.template = self.template(message, to)?;
        }
        Ok(facts.category(&Draft::new(body)))
    }
}

/// Whether a hold has not ended. One that ends later than after its duration was made by a clock
/// that was ahead.
fn is_current(hold: &OutreachHold, now: Timestamp) -> bool {
    (1..=hold.duration_ms.saturating_add(CLOCK_AHEAD_MS)).contains(&hold.until.since_ms(now))
}

/// Whether the messaging limit counts it.
fn counts_for_messaging_limit(body: &Outgoing, facts: &Facts<'_>) -> bool {
    body.is_outreach() && facts.conversation.group.is_none() && !facts.has_open_window()
}

#[cfg(test)]
mod tests;
