//! The pages of the form, in the five languages. They have no script, load nothing, and set no
//! cookie beyond the form's.

use crate::markup::escaped;
use beadle_model::consent::rules::{WordingText, WordingTexts};
use beadle_model::keyword::Language;
use std::fmt::Write as _;

/// The style of every page; its hash is in the `Content-Security-Policy`.
pub const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2422;--soft:#5a6663;--page:#f4f6f5;--card:#fff;--line:#cfd8d5;--go:#0b6b4f;--bad:#a32014}\
@media(prefers-color-scheme:dark){:root{--ink:#e8eeec;--soft:#a3b1ad;--page:#101514;--card:#1a2220;--line:#3a4744;--go:#3fb38c;--bad:#ff9a8d}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--page);color:var(--ink);font:1.0625rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\
main{max-width:30rem;margin:0 auto;padding:1.5rem 1rem}\
section{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.25rem}\
h1{font-size:1.375rem;line-height:1.25;margin:0 0 1rem}\
p{margin:0 0 1rem}\
label{display:block;font-weight:600}\
input[type=tel]{display:block;width:100%;margin:.375rem 0 .25rem;padding:.75rem;font:inherit;color:inherit;background:transparent;border:1px solid var(--soft);border-radius:.5rem}\
.hint,.small{color:var(--soft);font-size:.9375rem}\
.agree{display:grid;grid-template-columns:auto 1fr;gap:.75rem;align-items:start;font-weight:400;border:1px solid var(--line);border-radius:.5rem;padding:.875rem;margin:0 0 1rem}\
.agree input{width:1.375rem;height:1.375rem;margin:.0625rem 0 0;accent-color:var(--go)}\
button{display:block;width:100%;padding:.875rem;font:inherit;font-weight:600;color:#fff;background:#0b6b4f;border:0;border-radius:.5rem}\
:focus-visible{outline:3px solid var(--go);outline-offset:2px}\
.error{color:var(--bad);font-weight:600}\
nav{margin-top:1rem;display:flex;flex-wrap:wrap;gap:.25rem 1rem}\
a{color:inherit}\
";

/// The texts of a language. `{brand}` and `{word}` are filled in.
struct Texts {
    language: Language,
    /// The language's own name.
    name: &'static str,
    heading: &'static str,
    number: &'static str,
    number_hint: &'static str,
    withdraw: &'static str,
    withdraw_topic: &'static str,
    confirm: &'static str,
    send: &'static str,
    proof: &'static str,
    privacy: &'static str,
    done_heading: &'static str,
    done: &'static str,
    done_nothing: &'static str,
    bad_number: &'static str,
    not_agreed: &'static str,
    stale: &'static str,
    busy: &'static str,
    failed: &'static str,
    refused: &'static str,
}

const TEXTS: [Texts; 5] = [
    Texts {
        language: Language::En,
        name: "English",
        heading: "Messages from {brand} on WhatsApp",
        number: "Your WhatsApp number, with country code",
        number_hint: "For example +31 6 12345678",
        withdraw: "You can end this at any time: send STOP in the chat.",
        withdraw_topic: "STOP {word} ends only this.",
        confirm: "We ask you on WhatsApp to confirm. Your consent counts once you answer Yes there.",
        send: "Send",
        proof: "{brand} keeps your number, this text and the time as proof.",
        privacy: "Privacy",
        done_heading: "Please look at WhatsApp",
        done: "{brand} asks there whether you agree. Nothing more is sent unless you answer Yes.",
        done_nothing: "No question? Check the number. You are asked at most once a day and three times a month, \
                       and not if you have agreed already or answered No in the last month. If you have ended messages with STOP, send us START on WhatsApp first.",
        bad_number: "Please enter your number with + and the country code, for example +31 6 12345678.",
        not_agreed: "Please tick the box if you agree.",
        stale: "This page was open for too long, or cookies are blocked. Please send it again.",
        busy: "There are too many requests at the moment. Please try again later.",
        failed: "This did not work. Please try again in a few minutes.",
        refused: "This form must be sent from its own page.",
    },
    Texts {
        language: Language::Nl,
        name: "Nederlands",
        heading: "Berichten van {brand} via WhatsApp",
        number: "Je WhatsApp-nummer, met landcode",
        number_hint: "Bijvoorbeeld +31 6 12345678",
        withdraw: "Je kunt dit altijd beëindigen: stuur STOP in de chat.",
        withdraw_topic: "STOP {word} beëindigt alleen dit.",
        confirm: "We vragen je via WhatsApp om het te bevestigen. Je toestemming geldt zodra je daar Ja antwoordt.",
        send: "Versturen",
        proof: "{brand} bewaart je nummer, deze tekst en het tijdstip als bewijs.",
        privacy: "Privacy",
        done_heading: "Kijk in WhatsApp",
        done: "{brand} vraagt daar of je akkoord gaat. Er wordt niets anders verstuurd, tenzij je Ja antwoordt.",
        done_nothing: "Geen vraag gekregen? Controleer het nummer. We vragen het hoogstens één keer per dag en \
                       drie keer per maand, en niet als je al akkoord bent gegaan of de afgelopen maand Nee hebt \
                       geantwoord. Heb je berichten met STOP beëindigd, stuur ons dan eerst START \
                       via WhatsApp.",
        bad_number: "Vul je nummer in met + en de landcode, bijvoorbeeld +31 6 12345678.",
        not_agreed: "Vink het vakje aan als je akkoord gaat.",
        stale: "Deze pagina stond te lang open, of cookies zijn geblokkeerd. Verstuur hem opnieuw.",
        busy: "Er zijn op dit moment te veel verzoeken. Probeer het later opnieuw.",
        failed: "Dit is niet gelukt. Probeer het over een paar minuten opnieuw.",
        refused: "Dit formulier moet vanaf zijn eigen pagina worden verstuurd.",
    },
    Texts {
        language: Language::De,
        name: "Deutsch",
        heading: "Nachrichten von {brand} über WhatsApp",
        number: "Deine WhatsApp-Nummer mit Ländervorwahl",
        number_hint: "Zum Beispiel +49 151 23456789",
        withdraw: "Du kannst das jederzeit beenden: Sende STOP im Chat.",
        withdraw_topic: "STOP {word} beendet nur dies.",
        confirm: "Wir bitten dich in WhatsApp um Bestätigung. Deine Einwilligung gilt, sobald du dort mit Ja antwortest.",
        send: "Senden",
        proof: "{brand} speichert deine Nummer, diesen Text und den Zeitpunkt als Nachweis.",
        privacy: "Datenschutz",
        done_heading: "Bitte sieh in WhatsApp nach",
        done: "{brand} fragt dort, ob du einverstanden bist. Mehr wird nur gesendet, wenn du mit Ja antwortest.",
        done_nothing: "Keine Frage erhalten? Prüfe die Nummer. Wir fragen höchstens einmal am Tag und dreimal im \
                       Monat, und nicht, wenn du schon eingewilligt oder im letzten Monat mit Nein geantwortet hast. Wenn du Nachrichten mit STOP beendet hast, sende uns in WhatsApp \
                       zuerst START.",
        bad_number: "Bitte gib deine Nummer mit + und Ländervorwahl ein, zum Beispiel +49 151 23456789.",
        not_agreed: "Bitte setze das Häkchen, wenn du einverstanden bist.",
        stale: "Diese Seite war zu lange offen, oder Cookies sind blockiert. Bitte sende sie noch einmal.",
        busy: "Im Moment gibt es zu viele Anfragen. Bitte versuche es später noch einmal.",
        failed: "Das hat nicht geklappt. Bitte versuche es in ein paar Minuten noch einmal.",
        refused: "Dieses Formular muss von seiner eigenen Seite gesendet werden.",
    },
    Texts {
        language: Language::Pt,
        name: "Português",
        heading: "Mensagens de {brand} pelo WhatsApp",
        number: "O seu número de WhatsApp, com o código do país",
        number_hint: "Por exemplo +351 912 345 678",
        withdraw: "Pode terminar a qualquer momento: envie PARAR na conversa.",
        withdraw_topic: "PARAR {word} termina apenas isto.",
        confirm: "Pedimos-lhe no WhatsApp que confirme. O seu consentimento conta quando lá responder Sim.",
        send: "Enviar",
        proof: "{brand} guarda o seu número, este texto e a hora como prova.",
        privacy: "Privacidade",
        done_heading: "Veja o WhatsApp",
        done: "{brand} pergunta lá se concorda. Nada mais é enviado se não responder Sim.",
        done_nothing: "Não recebeu a pergunta? Verifique o número. Perguntamos no máximo uma vez por dia e três \
                       vezes por mês, e não se já concordou ou se respondeu Não no último mês. Se terminou as mensagens com PARAR, envie-nos primeiro COMEÇAR no WhatsApp.",
        bad_number: "Introduza o seu número com + e o código do país, por exemplo +351 912 345 678.",
        not_agreed: "Marque a caixa se concorda.",
        stale: "Esta página esteve aberta demasiado tempo, ou os cookies estão bloqueados. Envie-a de novo.",
        busy: "Há demasiados pedidos neste momento. Tente de novo mais tarde.",
        failed: "Não funcionou. Tente de novo dentro de alguns minutos.",
        refused: "Este formulário tem de ser enviado a partir da sua própria página.",
    },
    Texts {
        language: Language::Et,
        name: "Eesti",
        heading: "Ettevõtte {brand} sõnumid WhatsAppis",
        number: "Sinu WhatsAppi number koos riigikoodiga",
        number_hint: "Näiteks +372 5123 4567",
        withdraw: "Saad selle igal ajal lõpetada: saada vestluses STOPP.",
        withdraw_topic: "STOPP {word} lõpetab ainult selle.",
        confirm: "Palume sul WhatsAppis kinnitada. Nõusolek kehtib, kui vastad seal Jah.",
        send: "Saada",
        proof: "{brand} säilitab tõendina sinu numbri, selle teksti ja kellaaja.",
        privacy: "Privaatsus",
        done_heading: "Vaata WhatsAppi",
        done: "{brand} küsib seal, kas oled nõus. Muud ei saadeta, kui sa ei vasta Jah.",
        done_nothing: "Küsimust ei tulnud? Kontrolli numbrit. Küsime kõige rohkem korra päevas ja kolm korda kuus ega \
                       küsi, kui oled juba nõustunud või viimase kuu jooksul vastanud Ei. Kui oled sõnumid STOPP-iga lõpetanud, saada meile WhatsAppis kõigepealt ALUSTA.",
        bad_number: "Sisesta oma number plussmärgi ja riigikoodiga, näiteks +372 5123 4567.",
        not_agreed: "Märgi ruut, kui oled nõus.",
        stale: "See leht oli liiga kaua avatud või on küpsised keelatud. Saada see uuesti.",
        busy: "Praegu on liiga palju päringuid. Proovi hiljem uuesti.",
        failed: "See ei õnnestunud. Proovi mõne minuti pärast uuesti.",
        refused: "See vorm tuleb saata tema enda lehelt.",
    },
];

/// What a page says above the form, or instead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The number cannot be read.
    BadNumber,
    /// The box was not ticked.
    NotAgreed,
    /// The form is too old, or the cookie is missing.
    Stale,
    /// A limit was reached.
    Busy,
    /// The request could not be stored.
    Failed,
    /// It came from another site.
    Refused,
}

/// A wording on a page, in one language.
pub struct Page<'a> {
    /// The sender's name.
    pub brand: &'a str,
    /// The wording.
    pub wording: &'a WordingTexts,
    /// Its text in the language of the page.
    pub text: &'a WordingText,
    /// The language of everything else if there are no texts in the wording's.
    pub default_language: Language,
    /// Where personal data is explained.
    pub privacy_url: Option<&'a str>,
}

/// What a form is sent with.
pub struct FormState<'a> {
    /// The token.
    pub token: &'a str,
    /// The number, as it was written before.
    pub number: &'a str,
}

impl Page<'_> {
    fn texts(&self) -> &'static Texts {
        let in_language = |language: Language| TEXTS.iter().find(|texts| texts.language == language);
        let known = Language::known(&self.text.language);
        let [english, ..] = &TEXTS;
        in_language(known.unwrap_or(self.default_language)).unwrap_or(english)
    }

    /// Fills in a text; the result is HTML.
    fn fill(&self, text: &str) -> String {
        let word = self.wording.word.as_deref().unwrap_or_default();
        text.split('{').fold(String::new(), |mut html, part| {
            let (value, rest) = match part.split_once('}') {
                Some(("brand", rest)) => (self.brand, rest),
                Some(("word", rest)) => (word, rest),
                _ => ("", part),
            };
            let _ = write!(html, "{}{}", escaped(value), escaped(rest));
            html
        })
    }

    /// The page with the form.
    pub fn form(&self, state: &FormState<'_>, notice: Option<Notice>) -> String {
        let texts = self.texts();
        let [heading, withdraw, confirm, proof] =
            [texts.heading, texts.withdraw, texts.confirm, texts.proof].map(|text| self.fill(text));
        let topic = self.wording.word.is_some().then(|| format!(" {}", self.fill(texts.withdraw_topic)));
        let invalid = |about: Notice| if notice == Some(about) { " aria-invalid=\"true\"" } else { "" };
        let (number_invalid, agree_invalid) = (invalid(Notice::BadNumber), invalid(Notice::NotAgreed));
        let notice = notice
            .map(|notice| format!("<p id=\"error\" class=\"error\" role=\"alert\">{}</p>", self.notice_text(notice)));
        let body = format!(
            "<h1>{heading}</h1>{notice}<form method=\"post\">\
             <input type=\"hidden\" name=\"token\" value=\"{token}\">\
             <input type=\"hidden\" name=\"language\" value=\"{language}\">\
             <input type=\"hidden\" name=\"version\" value=\"{version}\">\
             <p><label for=\"number\">{number_label}</label>\
             <input id=\"number\" name=\"number\" type=\"tel\" inputmode=\"tel\" autocomplete=\"tel\" required maxlength=\"40\" \
             aria-describedby=\"number-hint error\"{number_invalid} value=\"{number}\"><span id=\"number-hint\" class=\"hint\">{hint}</span></p>\
             <label class=\"agree\"><input type=\"checkbox\" name=\"agree\" value=\"yes\" required{agree_invalid}>\
             <span lang=\"{language}\">{wording}</span></label>\
             <p>{withdraw}{topic}</p><p>{confirm}</p>\
             <p><button>{send}</button></p></form><p class=\"small\">{proof}{privacy}</p>",
            notice = notice.unwrap_or_default(),
            token = escaped(state.token),
            language = escaped(&self.text.language),
            version = self.wording.version,
            number_label = escaped(texts.number),
            number = escaped(state.number),
            hint = escaped(texts.number_hint),
            wording = escaped(&self.text.text),
            topic = topic.unwrap_or_default(),
            send = escaped(texts.send),
            privacy = self.privacy_link(),
        );
        self.whole(&heading, &body, &self.languages())
    }

    /// The page after the form was sent: the same for every number.
    pub fn done(&self) -> String {
        let texts = self.texts();
        let [heading, done, nothing] = [texts.done_heading, texts.done, texts.done_nothing].map(|text| self.fill(text));
        let body = format!("<h1>{heading}</h1><p>{done}</p><p class=\"small\">{nothing}</p>");
        self.whole(&heading, &body, "")
    }

    /// A page that only says why nothing was done.
    pub fn refusal(&self, notice: Notice) -> String {
        let heading = self.fill(self.texts().heading);
        let body = format!("<h1>{heading}</h1><p class=\"error\" role=\"alert\">{}</p>", self.notice_text(notice));
        self.whole(&heading, &body, "")
    }

    fn notice_text(&self, notice: Notice) -> String {
        let texts = self.texts();
        escaped(match notice {
            Notice::BadNumber => texts.bad_number,
            Notice::NotAgreed => texts.not_agreed,
            Notice::Stale => texts.stale,
            Notice::Busy => texts.busy,
            Notice::Failed => texts.failed,
            Notice::Refused => texts.refused,
        })
    }

    fn privacy_link(&self) -> String {
        let link = |url: &str| {
            format!(" <a href=\"{}\" rel=\"noreferrer\">{}</a>", escaped(url), escaped(self.texts().privacy))
        };
        self.privacy_url.map(link).unwrap_or_default()
    }

    /// Links to the other languages.
    fn languages(&self) -> String {
        let others = self.wording.texts.iter().filter(|text| text.language != self.text.language);
        let links = others.fold(String::new(), |mut links, text| {
            let code = escaped(&text.language);
            let known = TEXTS.iter().find(|texts| Some(texts.language) == Language::known(&text.language));
            let name = known.map_or_else(|| code.clone(), |texts| escaped(texts.name));
            let _ = write!(links, "<a href=\"?lang={code}\" lang=\"{code}\" hreflang=\"{code}\">{name}</a>");
            links
        });
        if links.is_empty() { links } else { format!("<nav class=\"small\">{links}</nav>") }
    }

    fn whole(&self, title: &str, body: &str, after: &str) -> String {
        format!(
            "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <meta name=\"robots\" content=\"noindex\"><style>{STYLE}</style></head>\
             <body><main><section>{body}</section>{after}</main></body></html>\n",
            self.texts().language.code(),
        )
    }
}

/// The text of a wording for a reader: that of `?lang=`, else the first of `Accept-Language` that
/// there is, else the default.
pub fn choose<'a>(wording: &'a WordingTexts, wanted: Option<&str>, accepted: Option<&str>) -> Option<&'a WordingText> {
    let find = |tag: &str| wording.texts.iter().find(|text| primary(&text.language) == primary(tag));
    let exact = |tag: &str| wording.texts.iter().find(|text| text.language.eq_ignore_ascii_case(tag));
    let any = |tag: &str| exact(tag).or_else(|| find(tag));
    let preferred = || by_preference(accepted.unwrap_or_default()).into_iter().find_map(any);
    wanted.and_then(any).or_else(preferred).or_else(|| wording.texts.first())
}

/// The maximum number of languages in a header: browsers send a handful.
const MAX_LANGUAGES: usize = 16;

/// The languages of an `Accept-Language` header (RFC 9110), the preferred one first.
fn by_preference(header: &str) -> Vec<&str> {
    let weighted = header.split(',').take(MAX_LANGUAGES).filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let tag = parts.next().filter(|tag| !tag.is_empty())?;
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |text| text.parse::<f32>().ok());
        weight.filter(|weight| *weight > 0.0).map(|weight| (weight, tag))
    });
    let mut weighted: Vec<(f32, &str)> = weighted.collect();
    // Stable: of equal weights, the first is preferred.
    weighted.sort_by(|a, b| b.0.total_cmp(&a.0));
    weighted.into_iter().map(|(_, tag)| tag).collect()
}

fn primary(tag: &str) -> String {
    tag.split('-').next().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::Purpose;

    fn wording(languages: &[&str]) -> WordingTexts {
        let text = |language: &&str| WordingText {
            language: (*language).into(),
            text: format!("<Shop> may write to me, in {language}."),
            sha256: String::new(),
        };
        WordingTexts {
            purpose: Purpose::Marketing,
            version: 3,
            word: Some("NEWS".into()),
            template: None,
            texts: languages.iter().map(text).collect(),
        }
    }

    #[test]
    fn language_is_the_chosen_one_else_that_of_the_browser_else_the_default() {
        let wording = wording(&["en", "nl", "pt-BR", "pt-PT"]);
        for (wanted, accepted, language) in [
            (None, None, "en"),
            (Some("nl"), Some("pt"), "nl"),
            (Some("fr"), Some("nl-BE,nl;q=0.9"), "nl"),
            (None, Some("fr-FR, fr;q=0.9, nl;q=0.4, en;q=0.5"), "en"),
            (None, Some("nl;q=0,en;q=0.1"), "en"),
            (None, Some("pt-PT"), "pt-PT"),
            (None, Some("pt"), "pt-BR"),
            (None, Some("de, *;q=0.1"), "en"),
            (None, Some(";q=1,,;;,\u{0}"), "en"),
        ] {
            assert_eq!(choose(&wording, wanted, accepted).unwrap().language, language, "{wanted:?} {accepted:?}");
        }
    }

    #[test]
    fn page_is_complete_in_each_language_and_escapes_everything() {
        for language in ["en", "nl", "de", "pt", "et", "fr"] {
            let wording = wording(&[language, "en"]);
            let page = Page {
                brand: "Tom & \"Co\"",
                wording: &wording,
                text: &wording.texts[0],
                default_language: Language::En,
                privacy_url: Some("https://shop.example/?a=1&b='2'"),
            };
            let html = page.form(&FormState { token: "1.2", number: "\"><script>" }, Some(Notice::BadNumber));
            for part in [
                "Tom &amp; &quot;Co&quot;",
                &format!("&lt;Shop&gt; may write to me, in {language}."),
                "NEWS",
                "value=\"&quot;&gt;&lt;script&gt;\"",
                "https://shop.example/?a=1&amp;b=&#39;2&#39;",
                "name=\"version\" value=\"3\"",
                "role=\"alert\"",
                "aria-invalid=\"true\" value=",
            ] {
                assert!(html.contains(part), "{part} is missing in {html}");
            }
            for html in [html, page.done(), page.refusal(Notice::Busy)] {
                assert!(!html.contains("{brand}") && !html.contains("{word}") && !html.contains("<script"), "{html}");
                assert!(!html.contains("checked"), "the box must not be ticked");
            }
        }
    }
}
