//! What Beadle itself says to STOP, START, LEAVE and JOIN, in the language the word was said in.
//!
//! Every word that an answer names in capitals is one that [`beadle_model::word::hear`] hears; a test holds that.

use beadle_model::Word;
use beadle_model::word::Language;

const ANSWERS: [(Word, Language, &str); 20] = [
    (Word::Stop, Language::En, "You will get no more messages from {brand}. Send START to hear from us again."),
    (Word::Stop, Language::Nl, "Je krijgt geen berichten meer van {brand}. Stuur START om weer van ons te horen."),
    (Word::Stop, Language::De, "Von {brand} kommen keine Nachrichten mehr. Mit START geht es wieder los."),
    (Word::Stop, Language::Pt, "Não vai receber mais mensagens de {brand}. Envie START para voltar a receber."),
    (Word::Stop, Language::Et, "{brand} ei saada enam sõnumeid. Et neid jälle saada, saatke START."),
    (
        Word::Start,
        Language::En,
        "Welcome back! You will hear from {brand} again. Send STOP to end messages at any time.",
    ),
    (Word::Start, Language::Nl, "Welkom terug! Je hoort weer van {brand}. Stuur STOP om er altijd mee te stoppen."),
    (
        Word::Start,
        Language::De,
        "Willkommen zurück! Ab jetzt kommen wieder Nachrichten von {brand}. Mit STOP enden sie jederzeit.",
    ),
    (
        Word::Start,
        Language::Pt,
        "Bem-vindo de volta! Vai voltar a receber mensagens de {brand}. Envie STOP para parar quando quiser.",
    ),
    (
        Word::Start,
        Language::Et,
        "Tere tulemast tagasi! {brand} saadab teile jälle sõnumeid. Nende lõpetamiseks saatke STOP.",
    ),
    (Word::Leave, Language::En, "You have left {brand}. Send JOIN to come back, or STOP for no messages at all."),
    (
        Word::Leave,
        Language::Nl,
        "Je hoort niet meer bij {brand}. Stuur MEEDOEN om terug te komen, of STOP voor helemaal geen berichten.",
    ),
    (
        Word::Leave,
        Language::De,
        "Du hast {brand} verlassen. Mit BEITRETEN kommst du zurück, mit STOP kommen gar keine Nachrichten mehr.",
    ),
    (
        Word::Leave,
        Language::Pt,
        "Saiu de {brand}. Envie PARTICIPAR para voltar, ou STOP para não receber nenhuma mensagem.",
    ),
    (
        Word::Leave,
        Language::Et,
        "Te lahkusite: {brand}. Tagasi tulemiseks saatke LIITU, kõigi sõnumite lõpetamiseks STOP.",
    ),
    (Word::Join, Language::En, "Welcome to {brand}! Send LEAVE to leave, or STOP for no messages at all."),
    (
        Word::Join,
        Language::Nl,
        "Welkom bij {brand}! Stuur VERLATEN om weg te gaan, of STOP voor helemaal geen berichten.",
    ),
    (
        Word::Join,
        Language::De,
        "Willkommen bei {brand}! Mit AUSTRETEN gehst du wieder, mit STOP kommen gar keine Nachrichten mehr.",
    ),
    (
        Word::Join,
        Language::Pt,
        "Boas-vindas a {brand}! Envie LEAVE para sair, ou STOP para não receber nenhuma mensagem.",
    ),
    (Word::Join, Language::Et, "Tere tulemast: {brand}! Lahkumiseks saatke LAHKU, kõigi sõnumite lõpetamiseks STOP."),
];

/// The answer to a word, where there is one.
pub(crate) fn answer(word: Word, language: Language, brand: &str) -> Option<String> {
    let found = ANSWERS.iter().find(|(to, spoken, _)| *to == word && *spoken == language);
    found.map(|(.., text)| text.replace("{brand}", brand))
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::word::hear;

    #[test]
    fn every_word_has_an_answer_in_every_language_that_fits_a_message() {
        for word in [Word::Stop, Word::Start, Word::Leave, Word::Join] {
            for language in [Language::En, Language::Nl, Language::De, Language::Pt, Language::Et] {
                let text = answer(word, language, "The Potters").unwrap();
                assert!(text.contains("The Potters") && !text.contains('{'), "{text}");
            }
        }
    }

    #[test]
    fn the_words_that_answers_name_are_heard() {
        for (word, language, text) in ANSWERS {
            let named: Vec<_> = text
                .split(|c: char| !c.is_alphabetic())
                .filter(|part| part.len() > 2 && part.chars().all(char::is_uppercase))
                .map(|part| hear(part).unwrap_or_else(|| panic!("nobody hears {part}")).0)
                .collect();
            let expected: &[Word] = match word {
                Word::Stop => &[Word::Start],
                Word::Start => &[Word::Stop],
                Word::Leave => &[Word::Join, Word::Stop],
                Word::Join => &[Word::Leave, Word::Stop],
            };
            assert_eq!(named, expected, "{word:?} in {language:?}");
        }
    }
}
