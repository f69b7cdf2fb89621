//! Beadle's own replies to the reserved words, in the language of the word or of the contact.
//!
//! Every word that a reply names in capitals is recognised by [`beadle_model::keyword::recognize`];
//! a test checks this.

use crate::config::AppConfig;
use beadle_model::keyword::{Language, question};
use beadle_model::{Keyword, Outgoing};
use beadle_store::step::HostAnswer;

/// `[with a brand|without]`: the whole phrase is written twice, because the words around a brand
/// inflect.
const ANSWERS: [(Keyword, Language, &str); 55] = [
    (
        Keyword::Stop,
        Language::En,
        "You will receive no more messages from [{brand}|us]. Send START to subscribe again.",
    ),
    (
        Keyword::Stop,
        Language::Nl,
        "Je krijgt geen berichten meer van [{brand}|ons]. Stuur START om weer van ons te horen.",
    ),
    (Keyword::Stop, Language::De, "Von [{brand}|uns] kommen keine Nachrichten mehr. Mit START geht es wieder los."),
    (
        Keyword::Stop,
        Language::Pt,
        "Não vai receber mais mensagens [de {brand}|nossas]. Envie START para voltar a receber.",
    ),
    (Keyword::Stop, Language::Et, "[{brand}|Me] ei saada enam sõnumeid. Et neid jälle saada, saatke START."),
    (
        Keyword::Start,
        Language::En,
        "Welcome back! You will receive messages from [{brand}|us] again. Send STOP at any time to unsubscribe.",
    ),
    (
        Keyword::Start,
        Language::Nl,
        "Welkom terug! Je hoort weer van [{brand}|ons]. Stuur STOP om er altijd mee te stoppen.",
    ),
    (
        Keyword::Start,
        Language::De,
        "Willkommen zurück! Ab jetzt kommen wieder Nachrichten von [{brand}|uns]. Mit STOP enden sie jederzeit.",
    ),
    (
        Keyword::Start,
        Language::Pt,
        "Bem-vindo de volta! Vai voltar a receber mensagens [de {brand}|nossas]. Envie STOP para parar quando quiser.",
    ),
    (
        Keyword::Start,
        Language::Et,
        "Tere tulemast tagasi! [{brand} saadab|Me saadame] teile jälle sõnumeid. Nende lõpetamiseks saatke STOP.",
    ),
    (
        Keyword::Leave,
        Language::En,
        "You have left [{brand}|our community]. Send JOIN to come back, or STOP for no messages at all.",
    ),
    (
        Keyword::Leave,
        Language::Nl,
        "Je hoort niet meer bij [{brand}|onze community]. Stuur MEEDOEN om terug te komen, of STOP voor helemaal geen berichten.",
    ),
    (
        Keyword::Leave,
        Language::De,
        "Du hast [{brand}|unsere Gemeinschaft] verlassen. Mit BEITRETEN kommst du zurück, mit STOP kommen gar keine Nachrichten mehr.",
    ),
    (
        Keyword::Leave,
        Language::Pt,
        "Saiu [de {brand}|da nossa comunidade]. Envie PARTICIPAR para voltar, ou STOP para não receber nenhuma mensagem.",
    ),
    (
        Keyword::Leave,
        Language::Et,
        "Te lahkusite[: {brand}| meie kogukonnast]. Tagasi tulemiseks saatke LIITU, kõigi sõnumite lõpetamiseks STOP.",
    ),
    (
        Keyword::Join,
        Language::En,
        "Welcome to [{brand}|our community]! Send LEAVE to leave, or STOP for no messages at all.",
    ),
    (
        Keyword::Join,
        Language::Nl,
        "Welkom bij [{brand}|onze community]! Stuur VERLATEN om weg te gaan, of STOP voor helemaal geen berichten.",
    ),
    (
        Keyword::Join,
        Language::De,
        "Willkommen [bei {brand}|in unserer Gemeinschaft]! Mit AUSTRETEN gehst du wieder, mit STOP kommen gar keine Nachrichten mehr.",
    ),
    (
        Keyword::Join,
        Language::Pt,
        "Boas-vindas [a {brand}|à nossa comunidade]! Envie LEAVE para sair, ou STOP para não receber nenhuma mensagem.",
    ),
    (
        Keyword::Join,
        Language::Et,
        "Tere tulemast[: {brand}| meie kogukonda]! Lahkumiseks saatke LAHKU, kõigi sõnumite lõpetamiseks STOP.",
    ),
    (
        Keyword::Help,
        Language::En,
        "[You are talking to {brand}. |]These words always work: STOP (no more messages), START (messages again), LEAVE and JOIN (the community), HUMAN (talk to a person), MYDATA (a copy of your data), FORGETME (erase your data).",
    ),
    (
        Keyword::Help,
        Language::Nl,
        "[Je praat met {brand}. |]Deze woorden werken altijd: STOP (geen berichten meer), START (weer berichten), VERLATEN en MEEDOEN (de community), MEDEWERKER (praten met een mens), MIJNGEGEVENS (een kopie van je gegevens), VERGEETMIJ (je gegevens wissen).",
    ),
    (
        Keyword::Help,
        Language::De,
        "[Hier schreibt {brand}. |]Diese Wörter wirken immer: STOP (keine Nachrichten mehr), START (wieder Nachrichten), AUSTRETEN und BEITRETEN (die Gemeinschaft), MENSCH (mit einer Person sprechen), MEINEDATEN (eine Kopie der Daten), VERGISSMICH (die Daten löschen).",
    ),
    (
        Keyword::Help,
        Language::Pt,
        "[Está a falar com {brand}. |]Estas palavras funcionam sempre: STOP (sem mais mensagens), START (mensagens outra vez), LEAVE e PARTICIPAR (a comunidade), ATENDENTE (falar com uma pessoa), MEUSDADOS (uma cópia dos seus dados), ESQUEÇAME (apagar os seus dados).",
    ),
    (
        Keyword::Help,
        Language::Et,
        "[Teiega suhtleb {brand}. |]Need sõnad toimivad alati: STOP (ei mingeid sõnumeid), START (sõnumid jälle), LAHKU ja LIITU (kogukond), INIMENE (rääkida inimesega), MINUANDMED (koopia teie andmetest), UNUSTAMIND (kustutada teie andmed).",
    ),
    (Keyword::Human, Language::En, "Your message was passed on: [a person at {brand}|one of us] will answer you here."),
    (Keyword::Human, Language::Nl, "Je bericht is doorgegeven: iemand van [{brand}|ons] antwoordt je hier."),
    (
        Keyword::Human,
        Language::De,
        "Die Nachricht wurde weitergegeben: Eine Person [von {brand}|aus unserem Team] antwortet hier.",
    ),
    (
        Keyword::Human,
        Language::Pt,
        "A sua mensagem foi encaminhada: uma pessoa [de {brand}|da nossa equipa] vai responder aqui.",
    ),
    (Keyword::Human, Language::Et, "Teie sõnum on edastatud: [{brand}|meie] töötaja vastab teile siin."),
    (
        Keyword::MyData,
        Language::En,
        "Do you want a copy of everything that [{brand} has|we have] stored about you? Tap the button within an hour, or write MYDATA YES.",
    ),
    (
        Keyword::MyData,
        Language::Nl,
        "Wil je een kopie van alles wat [{brand} over je heeft|we over je hebben] bewaard? Tik binnen een uur op de knop, of stuur MIJNGEGEVENS JA.",
    ),
    (
        Keyword::MyData,
        Language::De,
        "Möchtest du eine Kopie von allem, was [{brand} über dich gespeichert hat|wir über dich gespeichert haben]? Tippe innerhalb einer Stunde auf die Taste, oder schreibe MEINEDATEN JA.",
    ),
    (
        Keyword::MyData,
        Language::Pt,
        "Quer uma cópia de tudo o que [{brand} guardou|guardámos] sobre si? Toque no botão dentro de uma hora, ou escreva MEUSDADOS SIM.",
    ),
    (
        Keyword::MyData,
        Language::Et,
        "Kas soovite koopiat kõigest, mida [{brand} teie kohta hoiab|me teie kohta hoiame]? Vajutage tunni aja jooksul nuppu või kirjutage MINUANDMED JAH.",
    ),
    (
        Keyword::ForgetMe,
        Language::En,
        "Do you want [{brand}|us] to erase everything that is stored about you? This cannot be undone. Tap the button within an hour, or write FORGETME YES.",
    ),
    (
        Keyword::ForgetMe,
        Language::Nl,
        "Wil je dat [{brand} alles wist|we alles wissen] wat over je is bewaard? Dit kan niet ongedaan worden gemaakt. Tik binnen een uur op de knop, of stuur VERGEETMIJ JA.",
    ),
    (
        Keyword::ForgetMe,
        Language::De,
        "[Soll {brand}|Sollen wir] alles löschen, was über dich gespeichert ist? Das lässt sich nicht rückgängig machen. Tippe innerhalb einer Stunde auf die Taste, oder schreibe VERGISSMICH JA.",
    ),
    (
        Keyword::ForgetMe,
        Language::Pt,
        "Quer que [{brand} apague tudo o que guardou|apaguemos tudo o que guardámos] sobre si? Não é possível voltar atrás. Toque no botão dentro de uma hora, ou escreva ESQUEÇAME SIM.",
    ),
    (
        Keyword::ForgetMe,
        Language::Et,
        "Kas soovite, et [{brand} kustutaks|me kustutaksime] kõik, mida teie kohta hoitakse? Seda ei saa tagasi võtta. Vajutage tunni aja jooksul nuppu või kirjutage UNUSTAMIND JAH.",
    ),
    (
        Keyword::StopMarketing,
        Language::En,
        "You will receive no more advertising from [{brand}|us]. Other messages still arrive; STOP ends those too.",
    ),
    (
        Keyword::StopMarketing,
        Language::Nl,
        "Je krijgt geen reclame meer van [{brand}|ons]. Andere berichten komen nog wel; met STOP stoppen die ook.",
    ),
    (
        Keyword::StopMarketing,
        Language::De,
        "Von [{brand}|uns] kommt keine Werbung mehr. Andere Nachrichten kommen weiterhin; STOP beendet auch diese.",
    ),
    (
        Keyword::StopMarketing,
        Language::Pt,
        "Não vai receber mais publicidade [de {brand}|nossa]. Outras mensagens continuam; STOP termina essas também.",
    ),
    (
        Keyword::StopMarketing,
        Language::Et,
        "[{brand}|Me] ei saada teile enam reklaami. Muud sõnumid tulevad edasi; STOP lõpetab ka need.",
    ),
    (
        Keyword::OptIn,
        Language::En,
        "Thank you. [{brand}|We] may send you this from now on. Send STOP at any time to end all messages.",
    ),
    (
        Keyword::OptIn,
        Language::Nl,
        "Dank je, het is genoteerd: [{brand} mag|we mogen] je dit sturen. Met STOP stoppen alle berichten.",
    ),
    (
        Keyword::OptIn,
        Language::De,
        "Danke, das ist notiert: [{brand} darf|wir dürfen] dir dies senden. Mit STOP enden alle Nachrichten.",
    ),
    (
        Keyword::OptIn,
        Language::Pt,
        "Obrigado, ficou registado: aceitou receber isto[ de {brand}|]. Envie STOP para terminar todas as mensagens.",
    ),
    (
        Keyword::OptIn,
        Language::Et,
        "Aitäh, see on kirjas: [{brand} tohib|me tohime] teile seda saata. STOP lõpetab kõik sõnumid.",
    ),
    (Keyword::OptOut, Language::En, "It is noted: you will receive no more of this from [{brand}|us]."),
    (Keyword::OptOut, Language::Nl, "Het is genoteerd: hiervan krijg je niets meer van [{brand}|ons]."),
    (Keyword::OptOut, Language::De, "Das ist notiert: Davon kommt von [{brand}|uns] nichts mehr."),
    (Keyword::OptOut, Language::Pt, "Ficou registado: não vai receber mais disto[ de {brand}|]."),
    (Keyword::OptOut, Language::Et, "See on kirjas: seda [{brand}|me] teile enam ei saada."),
];

/// The answers to questions of Beadle's own.
const CONFIRMATIONS: [(Confirmation, Language, &str); 25] = [
    (
        Confirmation::Exporting,
        Language::En,
        "[{brand} is|We are] collecting your data. The copy follows here in a moment.",
    ),
    (
        Confirmation::Exporting,
        Language::Nl,
        "[{brand} verzamelt|We verzamelen] je gegevens. De kopie komt zo meteen hier.",
    ),
    (
        Confirmation::Exporting,
        Language::De,
        "[{brand} stellt|Wir stellen] deine Daten zusammen. Die Kopie kommt gleich hier.",
    ),
    (
        Confirmation::Exporting,
        Language::Pt,
        "[{brand} está|Estamos] a reunir os seus dados. A cópia segue aqui dentro de momentos.",
    ),
    (Confirmation::Exporting, Language::Et, "[{brand} kogub|Me kogume] teie andmeid kokku. Koopia tuleb siia kohe."),
    (
        Confirmation::Erasing,
        Language::En,
        "[{brand} is|We are] erasing everything that is stored about you. This is the last message. If you write again, you are a new person to us.",
    ),
    (
        Confirmation::Erasing,
        Language::Nl,
        "[{brand} wist|We wissen] nu alles wat over je is bewaard. Dit is het laatste bericht. Als je weer schrijft, kennen we je niet meer.",
    ),
    (
        Confirmation::Erasing,
        Language::De,
        "[{brand} löscht|Wir löschen] jetzt alles, was über dich gespeichert ist. Dies ist die letzte Nachricht. Wenn du wieder schreibst, kennen wir dich nicht mehr.",
    ),
    (
        Confirmation::Erasing,
        Language::Pt,
        "[{brand} está a apagar tudo o que guardou|Estamos a apagar tudo o que guardámos] sobre si. Esta é a última mensagem. Se voltar a escrever, já não o conhecemos.",
    ),
    (
        Confirmation::Erasing,
        Language::Et,
        "[{brand} kustutab|Me kustutame] nüüd kõik, mida teie kohta hoitakse. See on viimane sõnum. Kui uuesti kirjutate, ei tunne me teid enam.",
    ),
    (
        Confirmation::Late,
        Language::En,
        "That came too late, or there was no question: nothing was done. Send the word again if you want it.",
    ),
    (
        Confirmation::Late,
        Language::Nl,
        "Dat was te laat, of er was geen vraag: er is niets gedaan. Stuur het woord opnieuw als je het wilt.",
    ),
    (
        Confirmation::Late,
        Language::De,
        "Das war zu spät, oder es gab keine Frage: Es ist nichts geschehen. Schicke das Wort noch einmal, wenn du es möchtest.",
    ),
    (
        Confirmation::Late,
        Language::Pt,
        "Foi tarde demais, ou não havia pergunta: nada foi feito. Envie a palavra outra vez se quiser.",
    ),
    (
        Confirmation::Late,
        Language::Et,
        "See tuli liiga hilja või küsimust ei olnud: midagi ei tehtud. Kui soovite seda, saatke sõna uuesti.",
    ),
    (Confirmation::Unchanged, Language::En, "Nothing was changed."),
    (Confirmation::Unchanged, Language::Nl, "Er is niets veranderd."),
    (Confirmation::Unchanged, Language::De, "Es wurde nichts geändert."),
    (Confirmation::Unchanged, Language::Pt, "Nada foi alterado."),
    (Confirmation::Unchanged, Language::Et, "Midagi ei muudetud."),
    (Confirmation::Declined, Language::En, "It is noted: [{brand}|we] will not send you this."),
    (Confirmation::Declined, Language::Nl, "Het is genoteerd: [{brand} stuurt|we sturen] je dit niet."),
    (Confirmation::Declined, Language::De, "Das ist notiert: [{brand} sendet|wir senden] dir dies nicht."),
    (Confirmation::Declined, Language::Pt, "Ficou registado: [{brand} não lhe vai|não lhe vamos] enviar isto."),
    (Confirmation::Declined, Language::Et, "See on kirjas: [{brand}|me] ei saada teile seda."),
];

/// The reply to an answer to one of Beadle's questions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Confirmation {
    Exporting,
    Erasing,
    Late,
    Unchanged,
    Declined,
}

/// The replies to a reserved word in all languages, that of the configuration first.
pub(crate) fn replies(word: Keyword, question: Option<HostAnswer>, app: &AppConfig) -> Vec<(Language, Outgoing)> {
    in_all_languages(app, |language| reply(word, question, language, &app.brand))
}

/// The replies to a confirmation that comes too late.
pub(crate) fn late_replies(question: HostAnswer, app: &AppConfig) -> Vec<(Language, Outgoing)> {
    in_all_languages(app, |language| match question {
        HostAnswer::Consent(_) => None,
        HostAnswer::Export | HostAnswer::Erase => {
            let body = with_brand(confirmation_text(Confirmation::Late, language)?, &app.brand);
            Some(Outgoing::Text { body, preview_url: false, quote: None })
        }
    })
}

fn in_all_languages(app: &AppConfig, reply: impl Fn(Language) -> Option<Outgoing>) -> Vec<(Language, Outgoing)> {
    let others = Language::ALL.into_iter().filter(|language| *language != app.language);
    let languages = std::iter::once(app.language).chain(others);
    languages.filter_map(|language| Some((language, reply(language)?))).collect()
}

fn confirmation_text(wanted: Confirmation, language: Language) -> Option<&'static str> {
    let found = CONFIRMATIONS.iter().find(|(known, spoken, _)| *known == wanted && *spoken == language);
    found.map(|(.., text)| *text)
}

fn reply(word: Keyword, answered: Option<HostAnswer>, language: Language, brand: &str) -> Option<Outgoing> {
    let confirmation = |wanted: Confirmation| confirmation_text(wanted, language);
    let text = match (word, answered) {
        (Keyword::Yes, Some(HostAnswer::Consent(_))) => answer(Keyword::OptIn, language),
        (Keyword::No, Some(HostAnswer::Consent(_))) => confirmation(Confirmation::Declined),
        (Keyword::Yes, Some(HostAnswer::Export)) => confirmation(Confirmation::Exporting),
        (Keyword::Yes, Some(HostAnswer::Erase)) => confirmation(Confirmation::Erasing),
        (Keyword::No, Some(HostAnswer::Export | HostAnswer::Erase)) => confirmation(Confirmation::Unchanged),
        _ => answer(word, language),
    };
    let body = with_brand(text?, brand);
    match word {
        Keyword::MyData => Some(question(body, "export", language)),
        Keyword::ForgetMe => Some(question(body, "erase", language)),
        _ => Some(Outgoing::Text { body, preview_url: false, quote: None }),
    }
}

fn answer(word: Keyword, language: Language) -> Option<&'static str> {
    ANSWERS.iter().find(|(to, spoken, _)| *to == word && *spoken == language).map(|(.., text)| *text)
}

/// A text with the brand, or as it reads without one if that is empty.
fn with_brand(text: &str, brand: &str) -> String {
    let mut body = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let (choice, tail) = after.split_once(']').unwrap_or((after, ""));
        let (branded, plain) = choice.split_once('|').unwrap_or((choice, choice));
        body.push_str(before);
        if brand.is_empty() {
            body.push_str(plain)
        } else {
            body.push_str(&branded.replace("{brand}", brand))
        }
        rest = tail;
    }
    body + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::keyword::recognize;

    const WORDS: [Keyword; 11] = [
        Keyword::Stop,
        Keyword::Start,
        Keyword::Leave,
        Keyword::Join,
        Keyword::Help,
        Keyword::Human,
        Keyword::MyData,
        Keyword::ForgetMe,
        Keyword::StopMarketing,
        Keyword::OptIn,
        Keyword::OptOut,
    ];

    #[test]
    fn every_word_has_a_reply_in_every_language() {
        for word in WORDS {
            for language in Language::ALL {
                let text = match reply(word, None, language, "The Potters").unwrap() {
                    Outgoing::Text { body, .. } | Outgoing::Buttons { body, .. } => body,
                    other => panic!("{other:?}"),
                };
                assert!(text.contains("The Potters") && !text.contains(['{', '[', '|', ']']), "{text}");
                assert!(text.chars().count() <= 1024, "too long for a message with buttons: {text}");
            }
        }
        for question in [HostAnswer::Consent(1), HostAnswer::Export, HostAnswer::Erase] {
            for word in [Keyword::Yes, Keyword::No] {
                for language in Language::ALL {
                    assert!(reply(word, Some(question), language, "The Potters").is_some());
                    assert!(confirmation_text(Confirmation::Late, language).is_some());
                }
            }
        }
    }

    /// A person who reads a reply must not see that something is missing in it.
    #[test]
    fn replies_without_a_brand_are_whole_sentences() {
        let answers = ANSWERS.map(|(.., text)| text);
        let confirmations = CONFIRMATIONS.map(|(.., text)| text);
        for text in answers.into_iter().chain(confirmations) {
            let plain = with_brand(text, "");
            assert!(!plain.contains(['{', '[', '|', ']']), "{plain}");
            for gap in ["  ", " .", " ,", " !", " ?", " :", ". .", "::"] {
                assert!(!plain.contains(gap), "{gap:?} in {plain}");
            }
            // Each sentence begins with a capital letter and the text ends as a sentence.
            let starts = plain.split_inclusive(['.', '!', '?']).filter_map(|part| part.trim().chars().next());
            assert!(starts.clone().all(char::is_uppercase), "{plain}");
            assert!(plain.ends_with(['.', '!', '?']), "{plain}");
        }
        let said = |word, language| match reply(word, None, language, "") {
            Some(Outgoing::Text { body, .. }) => body,
            other => panic!("{other:?}"),
        };
        let stop = Language::ALL.map(|language| said(Keyword::Stop, language)).join("\n");
        let join = Language::ALL.map(|language| said(Keyword::Join, language)).join("\n");
        for expected in [
            "no more messages from us. Send START",
            "geen berichten meer van ons. Stuur START",
            "Von uns kommen keine Nachrichten mehr.",
            "mais mensagens nossas. Envie START",
            "Me ei saada enam sõnumeid.",
        ] {
            assert!(stop.contains(expected), "{stop}");
        }
        for expected in [
            "Welcome to our community!",
            "Welkom bij onze community!",
            "Willkommen in unserer Gemeinschaft!",
            "Boas-vindas à nossa comunidade!",
            "Tere tulemast meie kogukonda!",
        ] {
            assert!(join.contains(expected), "{join}");
        }
    }

    #[test]
    fn words_named_in_replies_are_recognised() {
        use Keyword::{ForgetMe, Help, Human, Join, Leave, MyData, OptIn, Start, Stop, StopMarketing};
        for (word, language, text) in ANSWERS {
            let named: Vec<_> = text
                .split(|c: char| !c.is_alphabetic())
                .filter(|part| part.len() > 2 && part.chars().all(char::is_uppercase))
                // The second word of a typed confirmation.
                .filter(|part| !["YES", "SIM", "JAH"].contains(part))
                .map(|part| recognize(part).unwrap_or_else(|| panic!("{part} is not recognised")).0)
                .collect();
            let expected: &[Keyword] = match word {
                Stop => &[Start],
                Start | StopMarketing | OptIn => &[Stop],
                Leave => &[Join, Stop],
                Join => &[Leave, Stop],
                Help => &[Stop, Start, Leave, Join, Human, MyData, ForgetMe],
                MyData => &[MyData],
                ForgetMe => &[ForgetMe],
                _ => &[],
            };
            assert_eq!(named, expected, "{word:?} in {language:?}");
        }
    }

    #[test]
    fn questions_have_buttons_of_their_own() {
        let Some(Outgoing::Buttons { buttons, .. }) = reply(Keyword::ForgetMe, None, Language::Nl, "B") else {
            panic!("buttons")
        };
        let labels: Vec<_> = buttons.iter().map(|button| (button.id.as_str(), button.title.as_str())).collect();
        assert_eq!(labels, [("beadle:erase:yes", "Ja"), ("beadle:erase:no", "Nee")]);
    }
}
