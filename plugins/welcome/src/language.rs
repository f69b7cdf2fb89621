//! The words that come with the plugin, in five languages.
//!
//! `{brand|…}` and `{name|…}` carry what is said where there is none, since that bends differently in each language.

/// Everything the plugin says in one language.
pub struct Language {
    pub code: &'static str,
    pub greeting: &'static str,
    pub greeting_again: &'static str,
    pub about: &'static str,
    pub rules_title: &'static str,
    pub no_rules: &'static str,
    pub agree: &'static str,
    pub please: &'static str,
    pub footer: &'static str,
    pub thanks: &'static str,
    pub reminder: &'static str,
    pub changed: &'static str,
}

/// English first: it stands in where nothing else fits.
pub const ENGLISH: &Language = &Language {
    code: "en",
    greeting: "Hi {name|there}, welcome to {brand|our community}! {purpose}",
    greeting_again: "Hi {name|there}, welcome back to {brand|our community}!",
    about: "This is {brand|our community}. {purpose}",
    rules_title: "Our rules:",
    no_rules: "There are no special rules here: just be kind.",
    agree: "I agree",
    please: "Please tap the button if you agree.",
    footer: "Write STOP to leave.",
    thanks: "Thank you, that is noted. Write RULES to read them again.",
    reminder: "Hi {name|there}, a small reminder: please read our rules and tap the button.",
    changed: "Our rules have changed. Please read them and tap the button.",
};

/// All five.
pub const LANGUAGES: &[&Language] = &[ENGLISH, DUTCH, GERMAN, PORTUGUESE, ESTONIAN];

const DUTCH: &Language = &Language {
    code: "nl",
    greeting: "Hoi {name|daar}, welkom bij {brand|onze community}! {purpose}",
    greeting_again: "Hoi {name|daar}, welkom terug bij {brand|onze community}!",
    about: "Dit is {brand|onze community}. {purpose}",
    rules_title: "Onze regels:",
    no_rules: "Hier gelden geen bijzondere regels: wees gewoon aardig.",
    agree: "Akkoord",
    please: "Tik op de knop als je akkoord bent.",
    footer: "Schrijf STOP om te stoppen.",
    thanks: "Dank je, genoteerd. Schrijf REGELS om ze nog eens te lezen.",
    reminder: "Hoi {name|daar}, een kleine herinnering: lees onze regels en tik op de knop.",
    changed: "Onze regels zijn veranderd. Lees ze even en tik op de knop.",
};

const GERMAN: &Language = &Language {
    code: "de",
    greeting: "Willkommen bei {brand|unserer Community}, {name|schön, dass du da bist}! {purpose}",
    greeting_again: "Willkommen zurück bei {brand|unserer Community}, {name|schön, dass du wieder da bist}!",
    about: "Das ist {brand|unsere Community}. {purpose}",
    rules_title: "Unsere Regeln:",
    no_rules: "Besondere Regeln gibt es hier nicht: Sei einfach nett.",
    agree: "Einverstanden",
    please: "Tippe bitte auf den Knopf, wenn du einverstanden bist.",
    footer: "Schreib STOP, um dich abzumelden.",
    thanks: "Danke, ist notiert. Schreib REGELN, um sie noch einmal zu lesen.",
    reminder: "Eine kleine Erinnerung, {name|mit Dank}: Bitte lies unsere Regeln und tippe auf den Knopf.",
    changed: "Unsere Regeln haben sich geändert. Bitte lies sie und tippe auf den Knopf.",
};

const PORTUGUESE: &Language = &Language {
    code: "pt",
    greeting: "Olá, {name|que bom ter você aqui}! Boas-vindas: aqui é {brand|a nossa comunidade}. {purpose}",
    greeting_again: "Olá, {name|que bom ver você}! Aqui é {brand|a nossa comunidade}: boas-vindas de volta!",
    about: "Aqui é {brand|a nossa comunidade}. {purpose}",
    rules_title: "Nossas regras:",
    no_rules: "Aqui não há regras especiais: basta ser gentil.",
    agree: "Concordo",
    please: "Toque no botão se você concorda.",
    footer: "Escreva STOP para sair.",
    thanks: "Tudo certo, está anotado. Escreva REGRAS para ler as regras de novo.",
    reminder: "Olá, {name|tudo bem}? Um pequeno lembrete: leia nossas regras e toque no botão.",
    changed: "Nossas regras mudaram. Leia e toque no botão, por favor.",
};

const ESTONIAN: &Language = &Language {
    code: "et",
    greeting: "Tere, {name|tore, et tulid}! Siin on {brand|meie kogukond}, tere tulemast. {purpose}",
    greeting_again: "Tere, {name|tore, et tulid tagasi}! Siin on {brand|meie kogukond}, tere tulemast tagasi.",
    about: "Siin on {brand|meie kogukond}. {purpose}",
    rules_title: "Meie reeglid:",
    no_rules: "Erilisi reegleid siin ei ole: ole lihtsalt viisakas.",
    agree: "Nõustun",
    please: "Kui nõustud, puuduta palun nuppu.",
    footer: "Lahkumiseks kirjuta STOP.",
    thanks: "Aitäh, kirjas. Kirjuta REEGLID, kui soovid neid uuesti lugeda.",
    reminder: "Tere, {name|taas}! Väike meeldetuletus: palun loe meie reegleid ja puuduta nuppu.",
    changed: "Meie reeglid on muutunud. Palun loe need läbi ja puuduta nuppu.",
};
