//! What the configuration says about consent: the wordings, and which sources the person must
//! confirm.

use super::{ConsentAct, ConsentSource, NewConsent, Purpose, Wording, actor};
use crate::contact::Contact;
use crate::keyword::{HOST_BUTTON, Language, question};
use crate::outgoing::{Outgoing, Template, TemplateAction, TemplateButton};
use crate::profile::AttributeTypes;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What the configuration says about people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeopleRules {
    /// The declared attributes.
    pub attributes: AttributeTypes,
    /// The rules of consent.
    pub consents: ConsentRules,
}

/// The rules of consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentRules {
    /// The wordings by name.
    pub wordings: BTreeMap<String, WordingTexts>,
    /// Sources whose grants count only once the person confirms them.
    pub double_opt_in: BTreeSet<ConsentSource>,
    /// How long a request can be confirmed, in milliseconds.
    pub confirm_within_ms: i64,
}

impl Default for ConsentRules {
    /// Everything that the person did not send themselves must be confirmed, within 48 hours.
    fn default() -> Self {
        let all = ConsentSource::ALL.into_iter().filter(|source| *source != ConsentSource::Whatsapp);
        Self { wordings: BTreeMap::new(), double_opt_in: all.collect(), confirm_within_ms: 48 * 60 * 60 * 1000 }
    }
}

/// A wording in all its languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordingTexts {
    /// What the person agrees to.
    pub purpose: Purpose,
    /// Raised with each change of a text.
    pub version: u32,
    /// The word by which a person opts in.
    pub word: Option<String>,
    /// The name of a template with the buttons Yes and No, which asks outside the window.
    pub template: Option<String>,
    /// The texts; the first is used if the person's language is unknown.
    pub texts: Vec<WordingText>,
}

/// A wording in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordingText {
    /// BCP 47.
    pub language: String,
    /// The text.
    pub text: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

impl WordingTexts {
    /// The wordings as the ledger names them, the default language first.
    pub fn wordings(&self, id: &str) -> Vec<Wording> {
        self.texts.iter().map(|text| self.wording(id, text)).collect()
    }

    /// The text in this language, else in the default language.
    pub fn text(&self, language: Option<&str>) -> Option<&WordingText> {
        let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let found =
            language.and_then(|wanted| self.texts.iter().find(|text| primary(&text.language) == primary(wanted)));
        found.or_else(|| self.texts.first())
    }

    fn wording(&self, id: &str, text: &WordingText) -> Wording {
        Wording {
            id: id.to_owned(),
            language: text.language.clone(),
            version: self.version,
            sha256: text.sha256.clone(),
        }
    }
}

/// What someone other than the person reports about their consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedConsent<'a> {
    /// What for.
    pub purpose: Purpose,
    /// Whether the person agreed, or withdrew.
    pub granted: bool,
    /// How the person expressed it.
    pub source: ConsentSource,
    /// The name of the wording that they agreed to.
    pub wording: Option<&'a str>,
    /// Whether they said it in the chat, in a message that Beadle has.
    pub in_chat: bool,
    /// When they expressed it; `None`: now, or not known.
    pub at: Option<Timestamp>,
    /// The proof.
    pub evidence: Option<String>,
    /// Who reports it: the operator, or `plugin:NAME`.
    pub actor: String,
    /// Whether the reporter has a proof of the person's own confirmation.
    pub confirmed: bool,
}

/// An entry to record, and the question to the person if it is a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedConsent {
    /// The entry.
    pub consent: NewConsent,
    /// The question.
    pub question: Option<ConsentQuestion>,
}

/// A question to a person whether they agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentQuestion {
    /// The wording.
    pub text: String,
    /// BCP 47.
    pub language: String,
    /// The template that asks outside the window.
    pub template: Option<String>,
}

impl ConsentQuestion {
    /// The message for the request with this number: with buttons in an open window, else by
    /// template; `None` if it cannot be asked now.
    pub fn message(&self, entry: i64, is_window_open: bool) -> Option<Outgoing> {
        let subject = format!("consent:{entry}");
        if is_window_open {
            return Some(question(self.text.clone(), &subject, Language::of_tag(&self.language)));
        }
        let button = |(index, answer): (u32, &str)| TemplateButton {
            index,
            action: TemplateAction::Reply(format!("{HOST_BUTTON}{subject}:{answer}")),
        };
        let template = |name: &String| Template {
            category: Some("utility".into()),
            buttons: [(0, "yes"), (1, "no")].map(button).into(),
            ..Template::new(name.clone(), self.language.clone())
        };
        self.template.as_ref().map(|name| Outgoing::Template(Box::new(template(name))))
    }
}

impl ConsentRules {
    /// The entry for what is reported: a grant that the person must confirm becomes a request.
    ///
    /// # Errors
    /// `unknown-wording`, `wrong-wording` (it is for another purpose), `consent-in-future`; for
    /// what the person must confirm `wording-required`. `opted-out`: after STOP nobody is asked
    /// anything, and only the person can undo it. `consent-withdrawn`: a grant that is not shown to
    /// be later than a withdrawal does not undo it.
    pub fn entry(
        &self,
        contact: &Contact,
        reported: ReportedConsent<'_>,
        now: Timestamp,
    ) -> Result<PlannedConsent, Refusal> {
        let wording = reported.wording.map(|id| self.find(id, &reported.purpose, contact)).transpose()?;
        let at = reported.at.unwrap_or(now);
        if at > now {
            let message = format!("A consent cannot be expressed in the future: {at}.");
            return Err(Refusal::new("consent-in-future", message));
        }
        // A plugin may hear a person agree to a topic although they said STOP; START is a word of
        // their own.
        let undoes_stop = reported.purpose == Purpose::Service || !reported.in_chat;
        if reported.granted && undoes_stop && contact.opted_out_since.is_some() {
            let message = "The person has opted out of all messages, and only they can undo it.";
            return Err(Refusal::new("opted-out", message).instead("Wait until they send START."));
        }
        // What was said in the chat is known to Beadle, so that a report of it proves nothing.
        let is_hearsay = reported.source == ConsentSource::Whatsapp && !reported.in_chat;
        let is_listed = self.double_opt_in.contains(&reported.source) || is_hearsay;
        let must_confirm = reported.granted && is_listed && !reported.confirmed;
        let consents = &contact.profile().consents;
        if let (true, Some((purpose, withdrawn))) = (reported.granted, consents.withdrawal_within(&reported.purpose))
            && !must_confirm
            && reported.at.is_none_or(|at| at <= withdrawn.at)
        {
            let message = format!("The person withdrew `{purpose}` at {}.", withdrawn.at.utc());
            return Err(Refusal::new("consent-withdrawn", message)
                .instead("State when they agreed again, if that was later, or have them confirm it in the chat."));
        }
        let act = match (reported.granted, must_confirm) {
            (false, _) => ConsentAct::Withdrawn,
            (true, true) => ConsentAct::Requested,
            (true, false) => ConsentAct::Granted,
        };
        let question = match &wording {
            _ if !must_confirm => None,
            None => {
                let message = "The person is asked to confirm this, so it needs the wording that they agree to.";
                return Err(
                    Refusal::new("wording-required", message).instead("Name a wording of `[consents.wordings]`.")
                );
            }
            Some((_, texts, text)) => Some(ConsentQuestion {
                text: text.text.clone(),
                language: text.language.clone(),
                template: texts.template.clone(),
            }),
        };
        let consent = NewConsent {
            contact: contact.id,
            purpose: reported.purpose,
            act,
            source: reported.source,
            wording: wording.map(|(wording, ..)| wording),
            // A question is asked now, whenever the person agreed before.
            at: if must_confirm { now } else { at },
            expires_at: must_confirm.then(|| now.plus_ms(self.confirm_within_ms)),
            evidence: reported.evidence,
            actor: reported.actor,
        };
        Ok(PlannedConsent { consent, question })
    }

    fn find(
        &self,
        id: &str,
        purpose: &Purpose,
        contact: &Contact,
    ) -> Result<(Wording, &WordingTexts, &WordingText), Refusal> {
        let Some(texts) = self.wordings.get(id) else {
            let known: Vec<String> = self.wordings.keys().map(|id| format!("`{id}`")).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Refusal::new("unknown-wording", format!("`{id}` is not a wording; declared: {known}.")));
        };
        if texts.purpose != *purpose {
            let message = format!("Wording `{id}` is for `{}`, not for `{purpose}`.", texts.purpose);
            return Err(Refusal::new("wrong-wording", message));
        }
        let text = texts.text(contact.language.as_deref());
        let text = text.ok_or_else(|| Refusal::new("unknown-wording", format!("Wording `{id}` has no text.")))?;
        Ok((texts.wording(id, text), texts, text))
    }
}

/// The name of a plugin as an actor of the ledger.
pub fn plugin_actor(name: &str) -> String {
    format!("plugin:{name}")
}

/// A report by the operator without a wording.
pub fn by_operator(purpose: Purpose, granted: bool, source: ConsentSource) -> ReportedConsent<'static> {
    ReportedConsent {
        purpose,
        granted,
        source,
        wording: None,
        in_chat: false,
        at: None,
        evidence: None,
        actor: actor::OPERATOR.to_owned(),
        confirmed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1000);

    fn rules() -> ConsentRules {
        let text =
            |language: &str| WordingText { language: language.into(), text: "…".into(), sha256: language.into() };
        let news = WordingTexts {
            purpose: Purpose::MarketingTopic("news".into()),
            version: 2,
            word: None,
            template: Some("ask_news".into()),
            texts: vec![text("en"), text("pt")],
        };
        ConsentRules { wordings: [("news".to_owned(), news)].into(), ..ConsentRules::default() }
    }

    #[test]
    fn grants_that_the_person_did_not_send_are_requests() {
        use ConsentSource::{Paper, Web, Whatsapp};
        let contact = Contact::unknown();
        for (source, granted, confirmed, act) in [
            (Web, true, false, ConsentAct::Requested),
            (Paper, true, false, ConsentAct::Requested),
            (Paper, true, true, ConsentAct::Granted),
            (Whatsapp, true, false, ConsentAct::Requested),
            // A withdrawal needs no confirmation.
            (Web, false, false, ConsentAct::Withdrawn),
        ] {
            let purpose = Purpose::MarketingTopic("news".into());
            let reported =
                ReportedConsent { confirmed, wording: Some("news"), ..by_operator(purpose, granted, source) };
            let PlannedConsent { consent: entry, question } = rules().entry(&contact, reported, NOW).unwrap();
            assert_eq!(question.is_some(), act == ConsentAct::Requested);
            assert_eq!(entry.act, act, "{source:?} {granted} {confirmed}");
            assert_eq!(entry.expires_at.is_some(), act == ConsentAct::Requested);
        }
    }

    #[test]
    fn question_is_asked_with_buttons_or_by_template() {
        let question = ConsentQuestion { text: "May we?".into(), language: "de".into(), template: None };
        let Some(Outgoing::Buttons { body, buttons, .. }) = question.message(7, true) else { panic!("buttons") };
        assert_eq!(
            (body.as_str(), buttons[0].id.as_str(), buttons[1].title.as_str()),
            ("May we?", "beadle:consent:7:yes", "Nein")
        );
        assert_eq!(question.message(7, false), None);
        let question = ConsentQuestion { template: Some("ask".into()), ..question };
        assert!(matches!(question.message(7, false), Some(Outgoing::Template(_))));
    }

    #[test]
    fn wording_is_that_of_the_persons_language_and_of_the_purpose() {
        let contact = Contact { language: Some("pt-BR".into()), ..Contact::unknown() };
        let report = |purpose: &str, wording| ReportedConsent {
            wording: Some(wording),
            ..by_operator(purpose.parse().unwrap(), true, ConsentSource::Web)
        };
        let entry = rules().entry(&contact, report("marketing:news", "news"), NOW).unwrap();
        let wording = entry.consent.wording.unwrap();
        assert_eq!((wording.language.as_str(), wording.version), ("pt", 2));
        let code = |report| rules().entry(&contact, report, NOW).unwrap_err().code;
        assert_eq!(code(report("marketing", "news")), "wrong-wording");
        assert_eq!(code(report("marketing:news", "olds")), "unknown-wording");
        let future =
            ReportedConsent { at: Some(NOW.plus_ms(1)), ..by_operator(Purpose::Group, true, ConsentSource::Web) };
        assert_eq!(code(future), "consent-in-future");
        assert_eq!(code(by_operator(Purpose::Group, true, ConsentSource::Web)), "wording-required");
        let gone = Contact { opted_out_since: Some(NOW), ..Contact::unknown() };
        let error = rules().entry(&gone, report("marketing:news", "news"), NOW).unwrap_err();
        assert_eq!(error.code, "opted-out");
    }

    #[test]
    fn report_does_not_undo_an_opt_out() {
        let gone = Contact { opted_out_since: Some(NOW), ..Contact::unknown() };
        for (source, confirmed) in [(ConsentSource::Whatsapp, false), (ConsentSource::Paper, true)] {
            let reported = ReportedConsent { confirmed, ..by_operator(Purpose::Service, true, source) };
            assert_eq!(rules().entry(&gone, reported, NOW).unwrap_err().code, "opted-out");
        }
        let withdrawn = by_operator(Purpose::Service, false, ConsentSource::Whatsapp);
        assert!(rules().entry(&gone, withdrawn, NOW).is_ok());
    }

    /// A report undoes a withdrawal only if it is later, also one of what was said in the chat.
    #[test]
    fn report_does_not_undo_a_later_withdrawal() {
        use ConsentSource::{Paper, Web, Whatsapp};
        let rules = ConsentRules { double_opt_in: [Web].into(), ..rules() };
        let topic = || Purpose::MarketingTopic("news".into());
        let withdrawn = |purpose: Purpose| {
            let consent = NewConsent::in_chat(purpose, ConsentAct::Withdrawn, NOW);
            let entry = crate::consent::ConsentEntry { id: 1, recorded_at: NOW, consent };
            let consents = crate::consent::Consents::of([&entry]);
            let profile = crate::profile::Profile { consents, ..Default::default() };
            Contact { profile: Some(std::sync::Arc::new(profile)), ..Contact::unknown() }
        };
        let now = NOW.plus_ms(1000);
        let act = |contact: &Contact, reported| rules.entry(contact, reported, now).map(|planned| planned.consent.act);
        let paper =
            |at: Option<i64>| ReportedConsent { at: at.map(|ms| NOW.plus_ms(ms)), ..by_operator(topic(), true, Paper) };
        for wider in [topic(), Purpose::Marketing, Purpose::Service] {
            let contact = withdrawn(wider);
            for at in [None, Some(-1), Some(0)] {
                assert_eq!(act(&contact, paper(at)).unwrap_err().code, "consent-withdrawn", "{at:?}");
            }
            assert_eq!(act(&contact, paper(Some(1))).unwrap(), ConsentAct::Granted);
            let in_chat =
                |at: Timestamp| ReportedConsent { in_chat: true, at: Some(at), ..by_operator(topic(), true, Whatsapp) };
            assert_eq!(act(&contact, in_chat(now)).unwrap(), ConsentAct::Granted);
            // A message from before, which is handled late.
            assert_eq!(act(&contact, in_chat(NOW)).unwrap_err().code, "consent-withdrawn");
        }
        assert_eq!(act(&withdrawn(Purpose::Survey), paper(None)).unwrap(), ConsentAct::Granted);
        // After STOP nothing that is reported counts.
        let stopped = Contact { opted_out_since: Some(NOW), ..Contact::unknown() };
        assert_eq!(act(&stopped, paper(Some(1))).unwrap_err().code, "opted-out");
        let in_chat = |purpose| ReportedConsent { in_chat: true, ..by_operator(purpose, true, Whatsapp) };
        assert_eq!(act(&stopped, in_chat(Purpose::Service)).unwrap_err().code, "opted-out");
        assert_eq!(act(&stopped, in_chat(topic())).unwrap(), ConsentAct::Granted);
        // A message in the chat is not shown by saying so.
        let said = ReportedConsent { wording: Some("news"), ..by_operator(topic(), true, Whatsapp) };
        assert_eq!(act(&Contact::unknown(), said).unwrap(), ConsentAct::Requested);
    }
}
