//! Collects the facts that the gate decides by, and asks it: when a plugin asks, when a message is about to leave, and for
//! an operator who wants to know.
//!
//! The rules are `gate`'s, the rows the store's; here is only which fact comes from where. A message inside an open window
//! that uses no template needs no fact from the store.

mod budgets;
mod policy;
mod quiet;
mod tier;

pub use budgets::BudgetUse;
pub use policy::{MarketingCaps, Policy, QuietFor};
pub use quiet::{QuietHours, TimeOfDay};

use beadle_gate::{Category, Circumstances, Draft, Facts, GateVerdict, ReachedCap, TemplateFacts};
use beadle_model::effect::{Outreach, PriceKey};
use beadle_model::event::Problem;
use beadle_model::outgoing::Template;
use beadle_model::{ConversationView, GateTrace, Outgoing, PluginNo, TemplateDefinition, Timestamp};
use beadle_store::{KnownTemplates, MarketingSends, Reader, StoreError, TemplateFilter};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use tier::Tiers;

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The most templates that are offered to a plugin.
const CANDIDATES: usize = 50;

/// Asks the gate. Cheap to clone.
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
    tiers: Mutex<Tiers>,
    spending: Mutex<budgets::Spending>,
    holds: Mutex<BTreeMap<String, OutreachHold>>,
}

/// A channel that may not write first for a while.
#[derive(Clone, Debug)]
pub struct OutreachHold {
    /// Until then.
    pub until: Timestamp,
    /// The platform's reason.
    pub problem: Problem,
    /// Whether it begins; otherwise it was known.
    pub is_new: bool,
    duration_ms: i64,
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
    /// Whether a budget limits it, so that the gate is asked again when it is about to leave.
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
        let (tiers, spending, holds) = Default::default();
        Self(Arc::new(Inner { reader, policy, tiers, spending, holds }))
    }

    /// Applies new settings.
    pub fn configure(&self, policy: Policy) {
        *self.0.policy.write() = Arc::new(policy);
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.0.policy.read())
    }

    /// Chooses the language of a template: of those that its account has, the one that was asked for, its base language, or
    /// the operator's. An empty language asks for the recipient's. What is not found stays, and the gate refuses it.
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

    /// Asks the gate. `by`: the plugin that sends the message; `reply`: whether it answers what was written.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn ask(
        &self,
        draft: &Draft<'_>,
        by: PluginNo,
        reply: bool,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<Decision, StoreError> {
        let mut facts = self.facts(draft, by, reply, to, now)?;
        let price = Self::price_key(draft, &facts);
        let is_budgeted = price.as_ref().map_or(Ok(false), |price| self.is_budgeted(by, to, price))?;
        let outreach = draft.body.is_outreach().then(|| Outreach {
            is_marketing: facts.category(draft).may_be_marketing(),
            topic: topic(draft.body).map(str::to_owned),
            is_outside_window: !facts.has_open_window(),
            price: price.clone(),
        });
        let mut verdict = beadle_gate::check(draft, &facts);
        // Counted at once: others are asked about before it is on the wire, and others took what was free meanwhile.
        if verdict == GateVerdict::Send && draft.message.is_some() && counts_for_tier(draft.body, &facts) {
            let limit = facts.circumstances.tier.as_ref().map(|tier| tier.limit);
            let portfolio = self.policy().portfolio(&to.channel);
            let tier = self.0.tiers.lock().take(&portfolio, to.contact.id, limit.unwrap_or(u64::MAX), now);
            facts.circumstances.tier = limit.map(|_| tier);
            verdict = beadle_gate::check(draft, &facts);
        }
        if let (GateVerdict::Send, Some(message), Some(price), true) = (&verdict, draft.message, &price, is_budgeted) {
            self.note_leaving(message, by, to, price, now)?;
        }
        Ok(Decision { verdict, trace: beadle_gate::trace(draft, &facts), outreach, is_budgeted })
    }

    /// What the checks say, without any effect.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn explain(
        &self,
        draft: &Draft<'_>,
        by: PluginNo,
        reply: bool,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<GateTrace, StoreError> {
        Ok(beadle_gate::trace(draft, &self.facts(draft, by, reply, to, now)?))
    }

    /// What the gate says about one of many messages that are planned, and what its price depends on. `template`: its
    /// definition, which is the same for many. What is limited for all of them together is not asked: budgets and the
    /// messaging limit.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn plan(
        &self,
        body: &Outgoing,
        template: TemplateFacts,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<(GateVerdict, Option<PriceKey>), StoreError> {
        let draft = Draft { body, host: false, message: None };
        let facts = Facts { template, ..Facts::new(to, now) };
        let facts = self.personal_facts(facts, &self.policy(), &draft, false)?;
        Ok((beadle_gate::check(&draft, &facts), Self::price_key(&draft, &facts)))
    }

    /// The use of a channel's messaging limit: how many people were written to first in 24 hours, and how many may be.
    /// `None`: no limit is known.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn messaging_limit(&self, channel: &str, now: Timestamp) -> Result<Option<(u64, u64)>, StoreError> {
        let tier = self.tier(&self.policy(), channel, beadle_model::ContactId(0), now)?;
        Ok(tier.map(|tier| (tier.used, tier.limit)))
    }

    /// The configured channels.
    pub fn channels(&self) -> Vec<String> {
        self.policy().apps.keys().cloned().collect()
    }

    /// The language of templates that do not exist in the recipient's.
    pub fn template_language(&self) -> Option<String> {
        self.policy().template_language.clone()
    }

    fn facts<'a>(
        &self,
        draft: &Draft<'_>,
        by: PluginNo,
        reply: bool,
        to: &'a ConversationView,
        now: Timestamp,
    ) -> Result<Facts<'a>, StoreError> {
        let policy = self.policy();
        let mut facts = Facts::new(to, now);
        if let Outgoing::Template(message) = draft.body {
            facts.template = self.template(message, to)?;
        }
        let mut facts = self.personal_facts(facts, &policy, draft, reply)?;
        facts.circumstances.over_budget = self.over_budget(draft, by, &facts)?;
        if counts_for_tier(draft.body, &facts) {
            facts.circumstances.tier = self.tier(&policy, &to.channel, to.contact.id, now)?;
        }
        Ok(facts)
    }

    /// Adds what restricts messages to this recipient.
    fn personal_facts<'a>(
        &self,
        mut facts: Facts<'a>,
        policy: &Policy,
        draft: &Draft<'_>,
        reply: bool,
    ) -> Result<Facts<'a>, StoreError> {
        let (to, now) = (facts.conversation, facts.now);
        facts.circumstances = Circumstances {
            stop: policy.stop,
            refuses_advertising: policy.refuses_advertising,
            outreach_held_until: self.held_until(draft.body, &to.channel),
            ..Circumstances::default()
        };
        let is_marketing = facts.category(draft).may_be_marketing();
        if let Some(quiet) = &policy.quiet_hours
            && to.group.is_none()
            && (is_marketing || (policy.quiet_for == QuietFor::Outreach && !reply))
        {
            facts.circumstances.quiet_until =
                quiet.end(now, to.contact.timezone.as_deref().unwrap_or(&policy.timezone));
        }
        if is_marketing && to.group.is_none() {
            facts.circumstances.marketing_refused = self.0.reader.marketing_refused(to.contact.id, now)?;
            facts.circumstances.capped = self.capped(draft, &policy.caps, to, now)?;
        }
        Ok(facts)
    }

    fn template(&self, message: &Template, to: &ConversationView) -> Result<TemplateFacts, StoreError> {
        let KnownTemplates::Known(mut definitions) = self.0.reader.templates_named(&to.channel, &message.name)? else {
            return Ok(TemplateFacts::Unknown);
        };
        Ok(match definitions.iter().position(|it| it.language == message.language) {
            Some(found) => TemplateFacts::Defined(Box::new(definitions.swap_remove(found))),
            None => TemplateFacts::Missing { languages: definitions.into_iter().map(|it| it.language).collect() },
        })
    }

    /// The cap that another marketing message would exceed.
    fn capped(
        &self,
        draft: &Draft<'_>,
        caps: &MarketingCaps,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<Option<ReachedCap>, StoreError> {
        let topic = topic(draft.body);
        let limits = [
            ("per_day", caps.per_day, DAY_MS, None),
            ("per_week", caps.per_week, 7 * DAY_MS, None),
            ("topic_per_week", caps.topic_per_week.filter(|_| topic.is_some()), 7 * DAY_MS, topic),
        ];
        for (name, limit, period_ms, topic) in limits {
            let Some(limit) = limit else { continue };
            let sends =
                MarketingSends { contact: to.contact.id, topic, since: now.plus_ms(-period_ms), before: draft.message };
            let sent = self.0.reader.marketing_sent(&sends)?;
            let over = sent.len().saturating_sub(usize::try_from(limit.saturating_sub(1)).unwrap_or(usize::MAX));
            if let Some(oldest) = over.checked_sub(1).and_then(|over| sent.get(over)) {
                return Ok(Some(ReachedCap {
                    received: format!("{} marketing messages", sent.len()),
                    limit: format!("`[gate.marketing_caps] {name} = {limit}`"),
                    until: oldest.plus_ms(period_ms),
                }));
            }
        }
        Ok(None)
    }

    fn tier(
        &self,
        policy: &Policy,
        channel: &str,
        contact: beadle_model::ContactId,
        now: Timestamp,
    ) -> Result<Option<beadle_gate::TierFacts>, StoreError> {
        let Some(limit) = self.0.reader.messaging_limit(channel)?.filter(|limit| *limit > 0) else {
            return Ok(None);
        };
        let portfolio = policy.portfolio(channel);
        let mut tiers = self.0.tiers.lock();
        if !tiers.is_loaded() {
            let sent = self.0.reader.outreach_since(now.plus_ms(-DAY_MS))?;
            tiers.load(sent.into_iter().map(|(channel, contact, at)| (policy.portfolio(&channel), contact, at)));
        }
        Ok(Some(tiers.facts(&portfolio, contact, limit, now)))
    }

    /// The platform does not let a channel write first: templates and Direct Send wait, an hour at first, twice as long after
    /// each further refusal, up to a day.
    pub fn hold_outreach(&self, channel: &str, problem: &Problem, now: Timestamp) -> OutreachHold {
        let mut holds = self.0.holds.lock();
        let before = holds.get(channel);
        if let Some(hold) = before.filter(|hold| now < hold.until) {
            return OutreachHold { is_new: false, ..hold.clone() };
        }
        // A day after the last one it begins anew.
        let before_ms = before.filter(|hold| now.since_ms(hold.until) < DAY_MS).map(|hold| hold.duration_ms);
        let duration_ms = before_ms.map_or(HOUR_MS, |before_ms| (before_ms * 2).min(DAY_MS));
        let hold =
            OutreachHold { until: now.plus_ms(duration_ms), problem: problem.clone(), is_new: true, duration_ms };
        holds.insert(channel.to_owned(), hold.clone());
        hold
    }

    fn held_until(&self, body: &Outgoing, channel: &str) -> Option<Timestamp> {
        if body.is_outreach() { self.0.holds.lock().get(channel).map(|hold| hold.until) } else { None }
    }

    /// The channels that may not write first now.
    pub fn holds(&self, now: Timestamp) -> Vec<(String, OutreachHold)> {
        let holds = self.0.holds.lock();
        holds.iter().filter(|(_, hold)| now < hold.until).map(|(name, hold)| (name.clone(), hold.clone())).collect()
    }

    /// What can be sent to a recipient now, without the parameters that a message would have.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn allowed(
        &self,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<Result<Allowed, beadle_model::Refusal>, StoreError> {
        let text = Outgoing::Text { body: "…".into(), preview_url: false, quote: None };
        let draft = Draft { body: &text, host: false, message: None };
        let facts = self.facts(&draft, PluginNo::HOST, false, to, now)?;
        let any_until = match beadle_gate::check(&draft, &facts) {
            GateVerdict::Refused(refusal) => return Ok(Err(refusal)),
            GateVerdict::TemplateNeeded(_) => None,
            GateVerdict::Send | GateVerdict::Later { .. } => {
                to.window_until.map(|until| until.plus_ms(-beadle_gate::WINDOW_MARGIN_MS))
            }
        };
        Ok(Ok(Allowed { any_until, templates: self.candidates(to, now)? }))
    }

    /// The templates that can be sent to a recipient now, each in the language that fits best.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn candidates(&self, to: &ConversationView, now: Timestamp) -> Result<Vec<Candidate>, StoreError> {
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
        let mut candidates = Vec::new();
        for definitions in definitions.chunk_by(|one, other| one.name == other.name) {
            if candidates.len() == CANDIDATES {
                break;
            }
            let chosen = beadle_gate::templates::choose(definitions, language, policy.template_language.as_deref());
            let Some(chosen) = chosen.or(definitions.first()) else { continue };
            if self.is_possible(chosen, to, now)? {
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

    /// Whether the gate would let this template pass, whatever fills it.
    fn is_possible(
        &self,
        definition: &TemplateDefinition,
        to: &ConversationView,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let body = Outgoing::Template(Box::new(Template {
            name: definition.name.clone(),
            language: definition.language.clone(),
            category: Some(definition.category.clone()),
            topic: None,
            header: None,
            body: Vec::new(),
            buttons: Vec::new(),
            cards: Vec::new(),
            quote: None,
        }));
        let draft = Draft { body: &body, host: false, message: None };
        let mut facts = self.facts(&draft, PluginNo::HOST, false, to, now)?;
        // Its parameters are not known yet.
        facts.template = TemplateFacts::Unknown;
        Ok(matches!(beadle_gate::check(&draft, &facts), GateVerdict::Send | GateVerdict::Later { .. }))
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
        Ok(facts.category(&Draft { body, host: false, message: None }))
    }
}

fn topic(body: &Outgoing) -> Option<&str> {
    match body {
        Outgoing::Template(template) => template.topic.as_deref(),
        _ => None,
    }
}

/// Whether the messaging limit counts it.
fn counts_for_tier(body: &Outgoing, facts: &Facts<'_>) -> bool {
    body.is_outreach() && facts.conversation.group.is_none() && !facts.has_open_window()
}

#[cfg(test)]
mod tests;
