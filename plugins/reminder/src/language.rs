//! The built-in texts in five languages.

use beadle_plugin::text::Translations;

/// The texts of one language.
#[derive(Debug)]
pub struct Language {
    pub unanswered: &'static str,
    pub asked: &'static str,
}

/// English is first: it stands in where no other language fits.
pub const LANGUAGES: Translations<Language> = Translations::new(&[
    (
        "en",
        Language {
            unanswered: "Hi {name|there}, we have not answered your message yet, but we have not forgotten it. If it still matters to \
                     you, send us a word: then we can answer here tomorrow too.",
            asked: "Hi {name|there}, our question above is still open. You can still answer it; a tap or a word is enough.",
        },
    ),
    (
        "nl",
        Language {
            unanswered: "Hoi {name|daar}, je bericht is nog niet beantwoord, maar we zijn het niet vergeten. Is het nog van belang? \
                     Stuur een woordje, dan kunnen we hier ook morgen antwoorden.",
            asked: "Hoi {name|daar}, onze vraag hierboven staat nog open. Je kunt nog antwoorden; een tik of een woord is genoeg.",
        },
    ),
    (
        "de",
        Language {
            unanswered: "Hallo{ name|}, deine Nachricht ist noch nicht beantwortet, aber wir haben sie nicht vergessen. Ist sie dir \
                     noch wichtig? Schreib ein Wort, dann können wir hier auch morgen antworten.",
            asked: "Hallo{ name|}, unsere Frage oben ist noch offen. Du kannst noch antworten; ein Tipp oder ein Wort genügt.",
        },
    ),
    (
        "pt",
        Language {
            unanswered: "Olá{ name|}, ainda não respondemos à sua mensagem, mas não a esquecemos. Se ainda for importante, escreva uma \
                     palavra: assim podemos responder aqui amanhã também.",
            asked: "Olá{ name|}, a nossa pergunta acima continua em aberto. Ainda dá para responder; um toque ou uma palavra basta.",
        },
    ),
    (
        "et",
        Language {
            unanswered: "Tere{ name|}, me pole su sõnumile veel vastanud, aga pole seda ka unustanud. Kui see on sulle veel oluline, \
                     kirjuta sõna: siis saame siin ka homme vastata.",
            asked: "Tere{ name|}, meie küsimus ülal ootab veel vastust. Vastata saab veel; piisab puudutusest või sõnast.",
        },
    ),
]);
