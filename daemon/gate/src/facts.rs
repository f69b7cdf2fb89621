//! What the checks depend on: the draft, and the facts about its destination. The defaults restrict
//! nothing.

use beadle_model::effect::SendOptions;
use beadle_model::{ConversationView, MessageId, Outgoing, Purpose, TemplateDefinition, Timestamp};

/// How long before its end a window counts as closed for sending: a request may take 15 seconds
/// (the channel's timeout), the platform's time stamps are whole seconds, and clocks differ. It is
/// not documented to which side the last second belongs (`docs/whatsapp.md#windows`).
pub const WINDOW_MARGIN_MS: i64 = 30_000;

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The message.
    pub body: &'a Outgoing,
    /// Whether Beadle itself sends it, not a plugin.
    pub host: bool,
    /// Whether it replies to what the recipient wrote; otherwise the business writes first.
    pub reply: bool,
    /// Its id, if it is queued and about to leave.
    pub message: Option<MessageId>,
    /// The purpose that the sender states. A template that the platform categorises as marketing is
    /// marketing whatever it says.
    pub purpose: Option<&'a Purpose>,
    /// Of the messages of a plugin with the same key, one is sent.
    pub key: Option<&'a str>,
    /// When it loses its meaning, if the sender declares that: until then it can wait for a cap.
    pub expires: Option<Timestamp>,
}

impl<'a> Draft<'a> {
    /// A message with which a plugin writes first.
    pub fn new(body: &'a Outgoing) -> Self {
        Self { body, host: false, reply: false, message: None, purpose: None, key: None, expires: None }
    }

    /// The same, with what its sender states about it.
    pub fn with(body: &'a Outgoing, options: &'a SendOptions) -> Self {
        Self { purpose: options.purpose.as_ref(), key: options.key.as_deref(), ..Self::new(body) }
    }

    /// The topic of marketing.
    pub fn topic(&self) -> Option<&'a str> {
        match (self.purpose, self.body) {
            (Some(Purpose::MarketingTopic(topic)), _) => Some(topic),
            (_, Outgoing::Template(template)) => template.topic.as_deref(),
            _ => None,
        }
    }

    /// Whether it is Beadle's own reply, for example the confirmation of STOP, or a read mark.
    pub fn is_own_reply(&self) -> bool {
        (self.host && self.reply) || matches!(self.body, Outgoing::MarkRead { .. })
    }
}

/// The facts that checks depend on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The destination as it is now.
    pub conversation: &'a ConversationView,
    /// Civil time.
    pub now: Timestamp,
    /// The template, for a message that uses one.
    pub template: TemplateFacts,
    /// What else restricts it.
    pub circumstances: Circumstances,
}

/// What is known about the template of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum TemplateFacts {
    /// The message uses none, or the account's templates are not known.
    Unknown,
    /// The account does not have it in this language.
    Missing {
        /// The languages that it has.
        languages: Vec<String>,
    },
    /// Its definition.
    Defined(Box<TemplateDefinition>),
}

/// What the operator has stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopSwitch {
    /// Nothing.
    #[default]
    Open,
    /// Marketing.
    Marketing,
    /// Everything, except Beadle's own replies.
    All,
}

/// Restrictions by the operator, the platform and earlier messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// What the operator has stopped.
    pub stop: StopSwitch,
    /// Until when templates and Direct Send of the number are held.
    pub outreach_held_until: Option<Timestamp>,
    /// When the recipient was erased.
    pub erased_at: Option<Timestamp>,
    /// When the platform last could not deliver to the recipient, and its code, if they have not
    /// written since. Collected for templates and Direct Send.
    pub unreachable: Option<(Timestamp, String)>,
    /// Until when the platform refuses marketing to the recipient, and its code.
    pub marketing_refused: Option<(Timestamp, String)>,
    /// The recipient's country, if WhatsApp delivers no marketing templates to its numbers.
    pub country_without_marketing: Option<String>,
    /// Since when a colleague handles the conversation.
    pub in_human_hands_since: Option<Timestamp>,
    /// Whether advertising words in a utility template are refused; otherwise they are noted.
    pub refuses_advertising: bool,
    /// The end of the quiet hours, during them.
    pub quiet_until: Option<Timestamp>,
    /// The frequency cap that is reached.
    pub capped: Option<ReachedCap>,
    /// The budget that the message would exceed.
    pub over_budget: Option<ReachedBudget>,
    /// The messaging limit, for a message outside a window.
    pub messaging_limit: Option<MessagingLimitFacts>,
    /// When the recipient can get the next message.
    pub pair_free_at: Option<Timestamp>,
    /// When the number can send the next message.
    pub throughput_free_at: Option<Timestamp>,
    /// The earlier message with the same key.
    pub sent_before: Option<MessageId>,
}

/// A frequency cap that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachedCap {
    /// What the recipient has received, in words.
    pub received: String,
    /// The setting.
    pub limit: String,
    /// When the next message is possible.
    pub until: Timestamp,
}

/// A budget that a message would exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachedBudget {
    /// Which, and why: a sentence.
    pub reason: String,
    /// When to check again, if the message waits. None: it is refused.
    pub until: Option<Timestamp>,
}

/// The use of the messaging limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagingLimitFacts {
    /// The number of people in 24 hours.
    pub limit: u64,
    /// The number of people who were written to.
    pub used: u64,
    /// When one more person can be written to, if the limit is used up and the recipient is not one
    /// of them.
    pub free_at: Option<Timestamp>,
}

/// The platform's category of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// A template that advertises.
    Marketing,
    /// A template or Direct Send about something that the recipient asked for.
    Utility,
    /// A login code.
    Authentication,
    /// Everything that needs an open window.
    Service,
    /// A template whose category is not known.
    Unknown,
}

impl Category {
    fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "marketing" => Category::Marketing,
            "utility" => Category::Utility,
            "authentication" => Category::Authentication,
            "service" => Category::Service,
            _ => Category::Unknown,
        }
    }

    /// Whether rules about marketing apply. They do if nothing is known, because a message cannot
    /// be recalled.
    pub fn may_be_marketing(self) -> bool {
        matches!(self, Category::Marketing | Category::Unknown)
    }

    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Category::Marketing => "marketing",
            Category::Utility => "utility",
            Category::Authentication => "authentication",
            Category::Service => "service",
            Category::Unknown => "unknown",
        }
    }
}

impl<'a> Facts<'a> {
    /// The facts about a destination that nothing restricts.
    pub fn new(conversation: &'a ConversationView, now: Timestamp) -> Self {
        Self { conversation, now, template: TemplateFacts::Unknown, circumstances: Circumstances::default() }
    }

    /// The category of a draft: the registry's, which the platform decides, before what the sender
    /// says.
    pub fn category(&self, draft: &Draft<'_>) -> Category {
        match (draft.body, &self.template) {
            (Outgoing::Template(_), TemplateFacts::Defined(definition)) if !definition.category.is_empty() => {
                Category::named(&definition.category)
            }
            (Outgoing::Template(message), _) => message.category.as_deref().map_or(Category::Unknown, Category::named),
            (Outgoing::Direct(direct), _) => Category::named(&direct.category),
            _ => Category::Service,
        }
    }

    /// Whether rules about marketing apply: because of the category, or because the sender says so.
    pub fn is_marketing(&self, draft: &Draft<'_>) -> bool {
        self.category(draft).may_be_marketing() || draft.purpose.is_some_and(Purpose::is_marketing)
    }

    /// What the recipient must have agreed to.
    pub fn purpose(&self, draft: &Draft<'_>) -> Purpose {
        match (draft.purpose, draft.topic()) {
            (Some(purpose), _) if purpose.is_marketing() || !self.category(draft).may_be_marketing() => purpose.clone(),
            (None, _) if !self.category(draft).may_be_marketing() => Purpose::Service,
            (_, Some(topic)) => Purpose::MarketingTopic(topic.to_owned()),
            (_, None) => Purpose::Marketing,
        }
    }

    /// Whether the window is open for sending.
    pub fn has_open_window(&self) -> bool {
        self.conversation.window_until.is_some_and(|until| self.now < until.plus_ms(-WINDOW_MARGIN_MS))
    }
}
