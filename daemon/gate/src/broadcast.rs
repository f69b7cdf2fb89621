//! The message of a broadcast, and its placeholders: the parts that differ between recipients.
//!
//! `{first_name|there}` is the person's first name, or `there` if it is unknown. The fallback is
//! mandatory, so that no message contains an empty value. `{{` and `}}` are braces. Planning reads
//! the values once and freezes them.

use beadle_model::broadcast::{BroadcastDefinition, BroadcastFile, BroadcastTemplate, TemplateValues, Texts};
use beadle_model::outgoing::{
    MediaKind, Parameter, ParameterValue, Source, Template, TemplateAction, TemplateButton, TemplateHeader,
};
use beadle_model::profile::AttributeValue;
use beadle_model::{Contact, Outgoing, Refusal};

/// The maximum length of a value: names can have any length.
const MAX_VALUE_CHARS: usize = 120;

/// The maximum number of placeholders in a broadcast.
const MAX_PLACEHOLDERS: usize = 50;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The number of a placeholder.
    Value(usize),
}

/// A placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placeholder {
    field: Field,
    fallback: String,
}

/// The field of the contact that a placeholder shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Name,
    FirstName,
    Attribute(String),
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "name" => Field::Name,
            "first_name" => Field::FirstName,
            _ => Field::Attribute(name.strip_prefix("attribute.").filter(|name| !name.is_empty())?.to_owned()),
        })
    }

    fn value(&self, contact: &Contact) -> Option<String> {
        let name = contact.name.as_deref();
        let value = match self {
            Field::Name => name.map(str::to_owned),
            Field::FirstName => name.and_then(|name| name.split_whitespace().next()).map(str::to_owned),
            Field::Attribute(name) => contact.profile().attributes.get(name).map(attribute_text),
        };
        value.map(|value| one_line(&value)).filter(|value| !value.is_empty())
    }
}

fn attribute_text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Boolean(value) => value.to_string(),
        AttributeValue::Number(value) => value.to_string(),
        AttributeValue::Text(text) => text.clone(),
        AttributeValue::Choices(choices) => choices.iter().cloned().collect::<Vec<_>>().join(", "),
    }
}

/// A value in one line: WhatsApp refuses line breaks, tabs and more than four consecutive spaces in
/// the parameters of a template.
fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(MAX_VALUE_CHARS).collect()
}

/// A text in one line, for the parameters of a template.
fn one_line_text(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text with placeholders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pattern(Vec<Part>);

impl Pattern {
    fn fill(&self, values: &[String]) -> String {
        let part = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Value(index) => values.get(*index).cloned().unwrap_or_default(),
        };
        self.0.iter().map(part).collect()
    }
}

/// A text with placeholders in one language or several. Never empty.
#[derive(Clone, Debug)]
struct Patterns {
    /// By language, in order. A text for everyone has an empty language.
    texts: Vec<(String, Pattern)>,
    /// The language to use if the recipient's has no text; without a text in it, the first is used.
    default: Option<String>,
}

impl Patterns {
    fn new(texts: &Texts, default: Option<&str>, placeholders: &mut Vec<Placeholder>) -> Result<Self, String> {
        let texts = match texts {
            Texts::One(text) => vec![(String::new(), pattern(text, placeholders)?)],
            Texts::ByLanguage(texts) => {
                let read = |(language, text): (&String, &String)| Ok((language.clone(), pattern(text, placeholders)?));
                texts.iter().map(read).collect::<Result<Vec<_>, String>>()?
            }
        };
        match texts.iter().find(|(_, text)| text.0.is_empty()) {
            _ if texts.is_empty() => Err("a text by language must have at least one language".into()),
            Some((language, _)) => Err(format!("the text{} must not be empty", in_language(language))),
            None => Ok(Self { texts, default: default.map(str::to_owned) }),
        }
    }

    /// The language and text for a person with this language.
    fn choose(&self, language: &str) -> (&str, &Pattern) {
        let base = |tag: &str| tag.split(['-', '_']).next().unwrap_or(tag).to_ascii_lowercase();
        let same = |wanted: &str| {
            let is_same = |(known, _): &&(String, Pattern)| {
                known.replace('_', "-").eq_ignore_ascii_case(&wanted.replace('_', "-"))
            };
            let has_same_base = |(known, _): &&(String, Pattern)| base(known) == base(wanted);
            self.texts.iter().find(is_same).or_else(|| self.texts.iter().find(has_same_base))
        };
        let found = same(language).or_else(|| same(self.default.as_deref()?)).or(self.texts.first());
        found.map_or(("", &NO_PATTERN), |(language, text)| (language.as_str(), text))
    }

    fn fill(&self, language: &str, values: &[String]) -> String {
        self.choose(language).1.fill(values)
    }
}

/// Not used: there is always a text.
static NO_PATTERN: Pattern = Pattern(Vec::new());

fn in_language(language: &str) -> String {
    if language.is_empty() { String::new() } else { format!(" in `{language}`") }
}

/// A parsed definition, from which each person's message is made.
#[derive(Clone, Debug)]
pub struct BroadcastMessage {
    placeholders: Vec<Placeholder>,
    template: Option<TemplatePattern>,
    text: Option<Patterns>,
    file: Option<(MediaKind, Source, Option<String>)>,
}

#[derive(Clone, Debug)]
struct TemplatePattern {
    name: String,
    language: Option<String>,
    body: Vec<(Option<String>, Patterns)>,
    header: Option<(Option<String>, Patterns)>,
    header_file: Option<(MediaKind, Source, Option<String>)>,
    buttons: Vec<(u32, ButtonKind, Pattern)>,
}

#[derive(Clone, Copy, Debug)]
enum ButtonKind {
    Url,
    Code,
    Reply,
}

impl BroadcastMessage {
    /// Parses a definition. `default`: the language of texts for people without one.
    ///
    /// # Errors
    /// A sentence that says why the definition is not valid.
    pub fn new(definition: &BroadcastDefinition, default: Option<&str>) -> Result<Self, String> {
        let mut placeholders = Vec::new();
        let template = definition
            .template
            .as_ref()
            .map(|definition| template(definition, default, &mut placeholders))
            .transpose()?;
        let text = definition.text.as_ref().map(|text| Patterns::new(text, default, &mut placeholders)).transpose()?;
        if template.is_none() && text.is_none() {
            return Err("`template` or `text` must be set".into());
        }
        if definition.file.is_some() && text.is_none() {
            return Err("`file` must have a `text`, which is its caption; for a template use `header_file`".into());
        }
        if placeholders.len() > MAX_PLACEHOLDERS {
            return Err(format!("a broadcast must have at most {MAX_PLACEHOLDERS} placeholders"));
        }
        let file = definition.file.as_ref().map(file).transpose()?;
        Ok(Self { placeholders, template, text, file })
    }

    /// The template's name.
    pub fn template_name(&self) -> Option<&str> {
        self.template.as_ref().map(|template| template.name.as_str())
    }

    /// The language that the definition sets.
    pub fn template_language(&self) -> Option<&str> {
        self.template.as_ref()?.language.as_deref()
    }

    /// The values of the placeholders for a person.
    pub fn values(&self, contact: &Contact) -> Vec<String> {
        let value = |placeholder: &Placeholder| {
            placeholder.field.value(contact).unwrap_or_else(|| placeholder.fallback.clone())
        };
        self.placeholders.iter().map(value).collect()
    }

    /// The language of the text for a person with this language; empty for a text for everyone.
    pub fn text_language(&self, language: &str) -> Option<&str> {
        Some(self.text.as_ref()?.choose(language).0)
    }

    /// The text in this language with these values.
    pub fn text(&self, language: &str, values: &[String]) -> Option<Outgoing> {
        let body = self.text.as_ref()?.fill(language, values);
        Some(match &self.file {
            Some((media, source, filename)) => Outgoing::Media {
                media: *media,
                source: source.clone(),
                caption: Some(body),
                filename: filename.clone(),
                voice: false,
                quote: None,
            },
            None => Outgoing::Text { body, preview_url: true, quote: None },
        })
    }

    /// The template in this language with these values.
    pub fn template(&self, language: &str, values: &[String]) -> Option<Outgoing> {
        let pattern = self.template.as_ref()?;
        let text = |patterns: &Patterns| ParameterValue::Text(one_line_text(&patterns.fill(language, values)));
        let parameter =
            |(name, patterns): &(Option<String>, Patterns)| Parameter { name: name.clone(), value: text(patterns) };
        let header = pattern.header.as_ref().map(|header| TemplateHeader::Text(parameter(header)));
        let header_file = pattern.header_file.as_ref().map(|(kind, source, filename)| TemplateHeader::File {
            kind: *kind,
            source: source.clone(),
            filename: filename.clone(),
        });
        let button = |(index, kind, address): &(u32, ButtonKind, Pattern)| {
            let value = address.fill(values);
            let action = match kind {
                ButtonKind::Url => TemplateAction::Url(value),
                ButtonKind::Code => TemplateAction::CopyCode(value),
                ButtonKind::Reply => TemplateAction::Reply(value),
            };
            TemplateButton { index: *index, action }
        };
        Some(Outgoing::Template(Box::new(Template {
            name: pattern.name.clone(),
            language: language.to_owned(),
            category: None,
            topic: None,
            header: header.or(header_file),
            body: pattern.body.iter().map(parameter).collect(),
            buttons: pattern.buttons.iter().map(button).collect(),
            cards: Vec::new(),
            quote: None,
        })))
    }

    /// Checks the lengths and counts of the message, with the fallbacks as values.
    ///
    /// # Errors
    /// The first limit that it exceeds.
    pub fn check_limits(&self) -> Result<(), Refusal> {
        let fallbacks: Vec<String> = self.placeholders.iter().map(|placeholder| placeholder.fallback.clone()).collect();
        let texts = self.text.iter().flat_map(|text| &text.texts).map(|(language, _)| self.text(language, &fallbacks));
        texts.chain([self.template("en", &fallbacks)]).flatten().try_for_each(|body| crate::limits::check(&body))
    }
}

fn template(
    definition: &BroadcastTemplate,
    default: Option<&str>,
    placeholders: &mut Vec<Placeholder>,
) -> Result<TemplatePattern, String> {
    let body = named_patterns(&definition.body, default, placeholders)?;
    let mut header = named_patterns(&definition.header, default, placeholders)?;
    if header.len() > 1 {
        return Err("`header` must have one value".into());
    }
    if !header.is_empty() && definition.header_file.is_some() {
        return Err("only one of `header` and `header_file` can be set".into());
    }
    let mut buttons = Vec::new();
    for button in &definition.buttons {
        let values =
            [(ButtonKind::Url, &button.url), (ButtonKind::Code, &button.code), (ButtonKind::Reply, &button.reply)];
        let mut values = values.into_iter().filter_map(|(kind, value)| Some((kind, value.as_deref()?)));
        match (values.next(), values.next()) {
            (Some((kind, value)), None) => buttons.push((button.index, kind, pattern(value, placeholders)?)),
            _ => return Err(format!("button {} must have one of `url`, `code` and `reply`", button.index)),
        }
    }
    Ok(TemplatePattern {
        name: definition.name.clone(),
        language: definition.language.clone(),
        body,
        header: header.pop(),
        header_file: definition.header_file.as_ref().map(file).transpose()?,
        buttons,
    })
}

/// The patterns of values, with their names if they have some.
fn named_patterns(
    values: &TemplateValues,
    default: Option<&str>,
    placeholders: &mut Vec<Placeholder>,
) -> Result<Vec<(Option<String>, Patterns)>, String> {
    let mut read = |texts: &Texts| Patterns::new(texts, default, placeholders);
    match values {
        TemplateValues::Positional(values) => values.iter().map(|texts| Ok((None, read(texts)?))).collect(),
        TemplateValues::Named(values) => {
            values.iter().map(|(name, texts)| Ok((Some(name.clone()), read(texts)?))).collect()
        }
    }
}

fn file(definition: &BroadcastFile) -> Result<(MediaKind, Source, Option<String>), String> {
    let BroadcastFile { kind, source, filename } = definition;
    let source = if source.starts_with("https://") || source.starts_with("http://") {
        Source::Link(source.clone())
    } else {
        Source::Media(source.parse().map_err(|_| format!("`{source}` must be a web address or an id (med_…)"))?)
    };
    Ok((*kind, source, filename.clone()))
}

/// Parses a text with placeholders.
fn pattern(text: &str, placeholders: &mut Vec<Placeholder>) -> Result<Pattern, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' if rest.peek() == Some(&c) => {
                rest.next();
                literal.push(c);
            }
            '{' => {
                let mut inner = String::new();
                loop {
                    match rest.next() {
                        Some('}') => break,
                        Some(c) => inner.push(c),
                        None => return Err(format!("`{{{inner}` must end with `}}`; write `{{{{` for a brace")),
                    }
                }
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                let placeholder = placeholder(&inner)?;
                let known = placeholders.iter().position(|known| *known == placeholder);
                parts.push(Part::Value(known.unwrap_or(placeholders.len())));
                if known.is_none() {
                    placeholders.push(placeholder);
                }
            }
            '}' => return Err(format!("`{text}` contains `}}` without `{{`; write `}}}}` for a brace")),
            c => literal.push(c),
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(Pattern(parts))
}

fn placeholder(inner: &str) -> Result<Placeholder, String> {
    let Some((field, fallback)) = inner.split_once('|') else {
        return Err(format!(
            "`{{{inner}}}` must have a fallback for people without a value, for example `{{{inner}|there}}`"
        ));
    };
    let fallback = one_line(fallback);
    if fallback.is_empty() {
        return Err(format!("the fallback after `|` in `{{{inner}}}` must not be empty"));
    }
    let field = Field::named(field.trim()).ok_or_else(|| {
        format!("unknown placeholder `{}`; it must be `name`, `first_name` or `attribute.NAME`", field.trim())
    })?;
    Ok(Placeholder { field, fallback })
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::{Audience, ContactId, Profile};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn definition(text: &str) -> BroadcastDefinition {
        BroadcastDefinition {
            name: "news".into(),
            channel: "main".into(),
            purpose: beadle_model::Purpose::MarketingTopic("cats".into()),
            audience: Audience::Everyone,
            template: None,
            text: Some(Texts::One(text.into())),
            file: None,
            expires: None,
        }
    }

    fn contact(name: Option<&str>) -> Contact {
        let mut profile = Profile::default();
        profile.attributes.insert("city".into(), AttributeValue::Text("Tartu".into()));
        let profile = Some(Arc::new(profile));
        Contact { id: ContactId(1), name: name.map(str::to_owned), profile, ..Contact::unknown() }
    }

    fn filled_text(text: &str, name: Option<&str>) -> Result<String, String> {
        let message = BroadcastMessage::new(&definition(text), None)?;
        match message.text("en", &message.values(&contact(name))) {
            Some(Outgoing::Text { body, .. }) => Ok(body),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn placeholder_needs_a_fallback() {
        for (text, name, expected) in [
            ("Hi {first_name|there}!", Some("Ana Maria"), "Hi Ana!"),
            ("Hi {first_name|there}!", None, "Hi there!"),
            ("Hi {first_name|there}!", Some(" \n "), "Hi there!"),
            ("{name|friend}, {name|you}", Some("Ana\n\tMaria"), "Ana Maria, Ana Maria"),
            ("{attribute.city|your city} {attribute.size|x}", None, "Tartu x"),
            ("{{name}} {name|x}", Some("Ana"), "{name} Ana"),
        ] {
            assert_eq!(filled_text(text, name).as_deref(), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("Hi {name}", "must have a fallback"),
            ("Hi {name|}", "must not be empty"),
            ("Hi {nom|x}", "unknown placeholder `nom`"),
            ("Hi {name|x", "must end with `}`"),
            ("Hi }", "without `{`"),
            ("", "must not be empty"),
        ] {
            let error = filled_text(text, None).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn template_gets_values_and_language() {
        let mut definition = definition("x");
        definition.text = None;
        definition.template = Some(BroadcastTemplate {
            name: "news".into(),
            body: TemplateValues::Positional(vec![
                Texts::One("{first_name|there}".into()),
                Texts::ByLanguage([("en", "Friday"), ("nl", "vrijdag")].map(|(l, t)| (l.into(), t.into())).into()),
            ]),
            ..BroadcastTemplate::default()
        });
        let message = BroadcastMessage::new(&definition, None).unwrap();
        let Some(Outgoing::Template(template)) = message.template("de", &message.values(&contact(Some("Ana B"))))
        else {
            panic!("no template")
        };
        assert_eq!(template.language, "de");
        let values: Vec<_> = template.body.iter().map(|parameter| parameter.value.clone()).collect();
        assert_eq!(values, [ParameterValue::Text("Ana".into()), ParameterValue::Text("Friday".into())]);
        assert_eq!(message.text("en", &[]), None);
        let Some(Outgoing::Template(dutch)) = message.template("nl_NL", &[]) else { panic!("no template") };
        assert_eq!(dutch.body[1].value, ParameterValue::Text("vrijdag".into()));
    }

    #[test]
    fn header_has_one_value_which_can_be_named() {
        let mut definition = definition("x");
        let one = |text: &str| Texts::One(text.into());
        let named = |names: &[&str]| {
            TemplateValues::Named(names.iter().map(|name| ((*name).to_owned(), one("{first_name|there}"))).collect())
        };
        for (header, expected) in [
            (TemplateValues::Positional(vec![one("{first_name|there}")]), Ok(None)),
            (named(&["reader"]), Ok(Some("reader"))),
            (named(&["reader", "writer"]), Err("one value")),
        ] {
            let template = BroadcastTemplate { name: "news".into(), header, ..BroadcastTemplate::default() };
            definition.template = Some(template);
            let message = match (BroadcastMessage::new(&definition, None), expected) {
                (Ok(message), Ok(_)) => message,
                (Err(error), Err(expected)) if error.contains(expected) => continue,
                (result, expected) => panic!("{result:?} {expected:?}"),
            };
            let filled = message.template("en", &message.values(&contact(Some("Ana B"))));
            let Some(Outgoing::Template(template)) = filled else { panic!("no template") };
            let Some(TemplateHeader::Text(parameter)) = template.header else { panic!("no header") };
            assert_eq!(Ok(parameter.name.as_deref()), expected);
            assert_eq!(parameter.value, ParameterValue::Text("Ana".into()));
        }
        let file = BroadcastFile { kind: MediaKind::Image, source: "https://example.org/a.png".into(), filename: None };
        let header = named(&["reader"]);
        let template = BroadcastTemplate { header, header_file: Some(file), ..BroadcastTemplate::default() };
        definition.template = Some(template);
        assert!(BroadcastMessage::new(&definition, None).unwrap_err().contains("`header_file`"));
    }

    #[test]
    fn text_language_is_the_persons_the_base_the_default_or_the_first() {
        let mut definition = definition("x");
        let texts = [("de", "Hallo"), ("nl", "Dag"), ("pt", "Oi")].map(|(l, t)| (l.to_owned(), t.to_owned()));
        definition.text = Some(Texts::ByLanguage(texts.into()));
        for (language, default, expected) in [
            ("nl", None, "nl"),
            ("nl-BE", None, "nl"),
            ("pt_BR", Some("nl"), "pt"),
            ("et", Some("nl"), "nl"),
            ("et", None, "de"),
        ] {
            let message = BroadcastMessage::new(&definition, default).unwrap();
            assert_eq!(message.text_language(language), Some(expected), "{language} {default:?}");
        }
    }

    proptest! {
        #[test]
        fn text_without_braces_is_unchanged(text in ".{1,60}", name in proptest::option::of(".{0,60}")) {
            let result = filled_text(&text, name.as_deref());
            if !text.contains(['{', '}']) {
                prop_assert_eq!(result, Ok(text));
            }
        }
    }
}
