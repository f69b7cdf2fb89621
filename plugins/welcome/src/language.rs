//! The built-in texts in five languages.
//!
//! The fallbacks of `{brand|…}` and `{name|…}` are part of each text, because they inflect
//! differently in each language.

use beadle_plugin::text::Translations;

/// The texts of one language.
#[derive(Debug)]
pub struct Language {
    pub greeting: &'static str,
    pub welcome_back: &'static str,
    pub about: &'static str,
    pub rules_title: &'static str,
    pub no_rules: &'static str,
    pub agree: &'static str,
    pub prompt: &'static str,
    pub footer: &'static str,
    pub thanks: &'static str,
    pub reminder: &'static str,
    pub rules_changed: &'static str,
}

/// English is first: it stands in where no other language fits.
pub const LANGUAGES: Translations<Language> =
    Translations::new(&[("en", ENGLISH), ("nl", DUTCH), ("de", GERMAN), ("pt", PORTUGUESE), ("et", ESTONIAN)]);

const ENGLISH: Language = Language {
    greeting: "Hi {name|there}, welcome to {brand|our community}! {purpose}",
    welcome_back: "Hi {name|there}, welcome back to {brand|our community}!",
    about: "This is {brand|our community}. {purpose}",
    rules_title: "Our rules:",
    no_rules: "There are no special rules here. Just be kind.",
    agree: "I agree",
    prompt: "Please tap the button if you agree.",
    footer: "Write STOP to leave.",
    thanks: "Thank you, that is noted. Write RULES to read them again.",
    reminder: "Hi {name|there}, a quick reminder: please read our rules and tap the button.",
    rules_changed: "Our rules have changed. Please read them and tap the button.",
};

const DUTCH: Language = Language {
    greeting: "Hoi {name|daar}, welkom bij {brand|onze community}! {purpose}",
    welcome_back: "Hoi {name|daar}, welkom terug bij {brand|onze community}!",
    about: "Dit is {brand|onze community}. {purpose}",
    rules_title: "Onze regels:",
    no_rules: "Hier gelden geen bijzondere regels: wees gewoon aardig.",
    agree: "Akkoord",
    prompt: "Tik op de knop als je akkoord bent.",
    footer: "Schrijf STOP om te stoppen.",
    thanks: "Dank je, genoteerd. Schrijf REGELS om ze nog eens te lezen.",
    reminder: "Hoi {name|daar}, een kleine herinnering: lees onze regels en tik op de knop.",
    rules_changed: "Onze regels zijn veranderd. Lees ze even en tik op de knop.",
};

const GERMAN: Language = Language {
    greeting: "Willkommen bei {brand|unserer Community}, {name|schön, dass du da bist}! {purpose}",
    welcome_back: "Willkommen zurück bei {brand|unserer Community}, {name|schön, dass du wieder da bist}!",
    about: "Das ist {brand|unsere Community}. {purpose}",
    rules_title: "Unsere Regeln:",
    no_rules: "Besondere Regeln gibt es hier nicht: Sei einfach nett.",
    agree: "Einverstanden",
    prompt: "Tippe bitte auf den Knopf, wenn du einverstanden bist.",
    footer: "Schreib STOP, um dich abzumelden.",
    thanks: "Danke, ist notiert. Schreib REGELN, um sie noch einmal zu lesen.",
    reminder: "Eine kleine Erinnerung, {name|mit Dank}: Bitte lies unsere Regeln und tippe auf den Knopf.",
    rules_changed: "Unsere Regeln haben sich geändert. Bitte lies sie und tippe auf den Knopf.",
};

const PORTUGUESE: Language = Language {
    greeting: "Olá, {name|que bom ter você aqui}! Boas-vindas: aqui é {brand|a nossa comunidade}. {purpose}",
    welcome_back: "Olá, {name|que bom ver você}! Aqui é {brand|a nossa comunidade}: boas-vindas de volta!",
    about: "Aqui é {brand|a nossa comunidade}. {purpose}",
    rules_title: "Nossas regras:",
    no_rules: "Aqui não há regras especiais: basta ser gentil.",
    agree: "Concordo",
    prompt: "Toque no botão se você concorda.",
    footer: "Escreva STOP para sair.",
    thanks: "Tudo certo, está anotado. Escreva REGRAS para ler as regras de novo.",
    reminder: "Olá, {name|tudo bem}? Um pequeno lembrete: leia nossas regras e toque no botão.",
    rules_changed: "Nossas regras mudaram. Leia e toque no botão, por favor.",
};

const ESTONIAN: Language = Language {
    greeting: "Tere, {name|tore, et tulid}! Siin on {brand|meie kogukond}, tere tulemast. {purpose}",
    welcome_back: "Tere, {name|tore, et tulid tagasi}! Siin on {brand|meie kogukond}, tere tulemast tagasi.",
    about: "Siin on {brand|meie kogukond}. {purpose}",
    rules_title: "Meie reeglid:",
    no_rules: "Erilisi reegleid siin ei ole: ole lihtsalt viisakas.",
    agree: "Nõustun",
    prompt: "Kui nõustud, puuduta palun nuppu.",
    footer: "Lahkumiseks kirjuta STOP.",
    thanks: "Aitäh, kirjas. Kirjuta REEGLID, kui soovid neid uuesti lugeda.",
    reminder: "Tere, {name|taas}! Väike meeldetuletus: palun loe meie reegleid ja puuduta nuppu.",
    rules_changed: "Meie reeglid on muutunud. Palun loe need läbi ja puuduta nuppu.",
};
