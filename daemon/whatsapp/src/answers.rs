//! Beadle's own replies to the reserved words STOP, START, LEAVE and JOIN, in the language of the word.
//!
//! Every word that a reply names in capitals is recognised by [`beadle_model::keyword::recognize`]; a test checks this.

use beadle_model::Keyword;
use beadle_model::keyword::Language;

const ANSWERS: [(Keyword, Language, &str); 20] = [
    (Keyword::Stop, Language::En, "You will receive no more messages from {brand}. Send START to subscribe again."),
    (Keyword::Stop, Language::Nl, "Je krijgt geen berichten meer van {brand}. Stuur START om weer van ons te horen."),
    (Keyword::Stop, Language::De, "Von {brand} kommen keine Nachrichten mehr. Mit START geht es wieder los."),
    (Keyword::Stop, Language::Pt, "Não vai receber mais mensagens de {brand}. Envie START para voltar a receber."),
    (Keyword::Stop, Language::Et, "{brand} ei saada enam sõnumeid. Et neid jälle saada, saatke START."),
    (
        Keyword::Start,
        Language::En,
        "Welcome back! You will receive messages from {brand} again. Send STOP at any time to unsubscribe.",
    ),
    (Keyword::Start, Language::Nl, "Welkom terug! Je hoort weer van {brand}. Stuur STOP om er altijd mee te stoppen."),
    (
        Keyword::Start,
        Language::De,
        "Willkommen zurück! Ab jetzt kommen wieder Nachrichten von {brand}. Mit STOP enden sie jederzeit.",
    ),
    (
        Keyword::Start,
        Language::Pt,
        "Bem-vindo de volta! Vai voltar a receber mensagens de {brand}. Envie STOP para parar quando quiser.",
    ),
    (
        Keyword::Start,
        Language::Et,
        "Tere tulemast tagasi! {brand} saadab teile jälle sõnumeid. Nende lõpetamiseks saatke STOP.",
    ),
    (Keyword::Leave, Language::En, "You have left {brand}. Send JOIN to come back, or STOP for no messages at all."),
    (
        Keyword::Leave,
        Language::Nl,
        "Je hoort niet meer bij {brand}. Stuur MEEDOEN om terug te komen, of STOP voor helemaal geen berichten.",
    ),
    (
        Keyword::Leave,
        Language::De,
        "Du hast {brand} verlassen. Mit BEITRETEN kommst du zurück, mit STOP kommen gar keine Nachrichten mehr.",
    ),
    (
        Keyword::Leave,
        Language::Pt,
        "Saiu de {brand}. Envie PARTICIPAR para voltar, ou STOP para não receber nenhuma mensagem.",
    ),
    (
        Keyword::Leave,
        Language::Et,
        "Te lahkusite: {brand}. Tagasi tulemiseks saatke LIITU, kõigi sõnumite lõpetamiseks STOP.",
    ),
    (Keyword::Join, Language::En, "Welcome to {brand}! Send LEAVE to leave, or STOP for no messages at all."),
    (
        Keyword::Join,
        Language::Nl,
        "Welkom bij {brand}! Stuur VERLATEN om weg te gaan, of STOP voor helemaal geen berichten.",
    ),
    (
        Keyword::Join,
        Language::De,
        "Willkommen bei {brand}! Mit AUSTRETEN gehst du wieder, mit STOP kommen gar keine Nachrichten mehr.",
    ),
    (
        Keyword::Join,
        Language::Pt,
        "Boas-vindas a {brand}! Envie LEAVE para sair, ou STOP para não receber nenhuma mensagem.",
    ),
    (
        Keyword::Join,
        Language::Et,
        "Tere tulemast: {brand}! Lahkumiseks saatke LAHKU, kõigi sõnumite lõpetamiseks STOP.",
    ),
];

/// The reply to a reserved word, if it has one.
pub(crate) fn answer(word: Keyword, language: Language, brand: &str) -> Option<String> {
    let found = ANSWERS.iter().find(|(to, spoken, _)| *to == word && *spoken == language);
    found.map(|(.., text)| text.replace("{brand}", brand))
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::keyword::recognize;

    #[test]
    fn every_word_has_a_reply_in_every_language() {
        for word in [Keyword::Stop, Keyword::Start, Keyword::Leave, Keyword::Join] {
            for language in [Language::En, Language::Nl, Language::De, Language::Pt, Language::Et] {
                let text = answer(word, language, "The Potters").unwrap();
                assert!(text.contains("The Potters") && !text.contains('{'), "{text}");
            }
        }
    }

    #[test]
    fn words_named_in_replies_are_recognised() {
        for (word, language, text) in ANSWERS {
            let named: Vec<_> = text
                .split(|c: char| !c.is_alphabetic())
                .filter(|part| part.len() > 2 && part.chars().all(char::is_uppercase))
                .map(|part| recognize(part).unwrap_or_else(|| panic!("{part} is not recognised")).0)
                .collect();
            let expected: &[Keyword] = match word {
                Keyword::Stop => &[Keyword::Start],
                Keyword::Start => &[Keyword::Stop],
                Keyword::Leave => &[Keyword::Join, Keyword::Stop],
                Keyword::Join => &[Keyword::Leave, Keyword::Stop],
            };
            assert_eq!(named, expected, "{word:?} in {language:?}");
        }
    }
}
