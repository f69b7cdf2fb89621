//! Advertising words in utility templates, in five languages.
//!
//! The platform reviews a utility template and its use. One that advertises becomes a marketing
//! template, which costs more and needs consent, and repeated mistakes limit the account (code
//! 131064). The words are a hint and no proof.

use super::parameters::display_text;
use super::parts::{array, component, text};
use super::preview::{Preview, preview};
use beadle_model::outgoing::{Header, Template, TemplateHeader};
use beadle_model::{Outgoing, TemplateDefinition};

/// An advertising word that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertising {
    /// The word or phrase of the table.
    pub word: &'static str,
    /// Its language.
    pub language: &'static str,
    /// Where it is: `text`, `header`, `footer`, `button 1`, `card 1`.
    pub part: String,
}

/// The words by language, in lower case. A word that ends in `*` also matches longer words.
#[rustfmt::skip]
const WORDS: [(&str, &[&str]); 5] = [
    ("en", &["sale", "discount*", "special offer*", "limited offer*", "limited time", "coupon*", "promo*", "voucher*", "% off", "buy now",
             "shop now", "best price*", "free gift*", "free shipping", "don't miss", "last chance", "exclusive deal*", "deals", "cashback",
             "black friday", "recommend us", "new collection*", "win a", "you may also like"]),
    ("nl", &["korting*", "aanbieding*", "uitverkoop", "actieprijs*", "actiecode*", "kortingscode*", "gratis", "koop nu", "shop nu", "bestel nu",
             "laatste kans", "mis het niet", "mis deze", "tijdelijk voordeel", "voordeel*", "waardebon*", "cadeau*", "win een", "nieuwe collectie"]),
    ("de", &["rabatt*", "angebot*", "sonderangebot*", "ausverkauf*", "schlussverkauf*", "gutschein*", "gratis", "kostenlos*", "jetzt kaufen",
             "jetzt shoppen", "jetzt bestellen", "letzte chance", "nicht verpassen", "nur für kurze zeit", "sparen sie", "gewinnen sie",
             "gewinnspiel*", "neue kollektion", "werbeaktion*"]),
    ("pt", &["desconto*", "promoç*", "oferta*", "liquidaç*", "cupom", "cupons", "cupão", "cupões", "grátis", "gratuito*", "compre já", "compre agora",
             "última chance", "última oportunidade", "não perca", "por tempo limitado", "brinde*", "ganhe", "nova coleção", "frete grátis"]),
    ("et", &["allahindlus*", "soodus*", "pakkumi*", "kupong*", "kinkekaart*", "tasuta", "osta kohe", "osta nüüd", "telli kohe", "viimane võimalus",
             "ära maga maha", "piiratud aja*", "kampaania*", "võida", "uus kollektsioon", "parim hind"]),
];

/// Advertising words in a template's own texts.
pub fn lint(definition: &TemplateDefinition) -> Vec<Advertising> {
    let empty = Template::new("", "");
    let Preview { header, body, footer, buttons, cards } = preview(definition, &empty);
    let mut found = Vec::new();
    search(&body, "text", &mut found);
    header.iter().for_each(|header| search(header, "header", &mut found));
    footer.iter().for_each(|footer| search(footer, "footer", &mut found));
    for (index, button) in buttons.iter().enumerate() {
        search(button, &format!("button {}", index + 1), &mut found);
    }
    for (index, card) in cards.iter().enumerate() {
        search(card, &format!("card {}", index + 1), &mut found);
    }
    let defined = component(&definition.components, "BUTTONS").map_or(&[][..], |buttons| array(buttons, "buttons"));
    if defined.iter().any(|button| text(button, "type").eq_ignore_ascii_case("COPY_CODE")) && found.is_empty() {
        found.push(Advertising { word: "a button that copies a code", language: "any", part: "buttons".into() });
    }
    found
}

/// The first advertising word in the parameters of a message.
pub fn advertising(message: &Template) -> Option<Advertising> {
    let header = match &message.header {
        Some(TemplateHeader::Text(parameter)) => Some(parameter),
        _ => None,
    };
    let cards = message.cards.iter().flat_map(|card| &card.body);
    let mut found = Vec::new();
    for parameter in header.into_iter().chain(&message.body).chain(cards) {
        search(display_text(&parameter.value), parameter.name.as_deref().unwrap_or("text"), &mut found);
    }
    found.into_iter().next()
}

/// The first advertising word in the texts of a message by Direct Send.
pub fn advertising_in(message: &Outgoing) -> Option<Advertising> {
    let mut found = Vec::new();
    for (part, text) in texts(message) {
        search(text, part, &mut found);
    }
    found.into_iter().next()
}

/// The texts of the kinds of messages that Direct Send takes.
fn texts(message: &Outgoing) -> Vec<(&'static str, &str)> {
    match message {
        Outgoing::Text { body, .. } => vec![("text", body)],
        Outgoing::Buttons { header, body, footer, buttons, .. } => {
            let titles = buttons.iter().map(|button| ("button", button.title.as_str()));
            top_line(header).chain([("text", body.as_str())]).chain(bottom_line(footer)).chain(titles).collect()
        }
        Outgoing::CtaUrl { header, body, footer, title, .. } => {
            let rest = [("text", body.as_str()), ("button", title.as_str())];
            top_line(header).chain(rest).chain(bottom_line(footer)).collect()
        }
        Outgoing::VoiceCall { body, title, .. } => vec![("text", body), ("button", title)],
        _ => vec![],
    }
}

fn top_line(header: &Option<Header>) -> impl Iterator<Item = (&'static str, &str)> {
    let text = match header {
        Some(Header::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    text.into_iter().map(|text| ("header", text))
}

fn bottom_line(footer: &Option<String>) -> impl Iterator<Item = (&'static str, &str)> {
    footer.iter().map(|text| ("footer", text.as_str()))
}

fn search(text: &str, part: &str, found: &mut Vec<Advertising>) {
    let text = text.to_lowercase();
    for (language, words) in WORDS {
        for word in words.iter().copied().filter(|word| contains(&text, word)) {
            // Some words are the same in several languages.
            if !found.iter().any(|known| known.word == word && known.part == part) {
                found.push(Advertising { word, language, part: part.to_owned() });
            }
        }
    }
}

/// Whether a text (in lower case) has this word or phrase as a whole, or as a beginning if it ends
/// in `*`.
fn contains(text: &str, word: &str) -> bool {
    let (stem, is_prefix) = word.strip_suffix('*').map_or((word, false), |stem| (stem, true));
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(stem).any(|(at, found)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|after| after.chars().next());
        // `% off` begins with a sign that follows a number.
        let begins = !stem.starts_with(char::is_alphanumeric) || !is_letter(before);
        begins && (is_prefix || !is_letter(after))
    })
}
