//! The names of the fields of an export, for people, in the languages of
//! `beadle_model::keyword::Language::ALL`.

/// Each field that the page of an export shows.
const FIELDS: &[(&str, [&str; 5])] = &[
    // The person.
    ("id", ["Id", "Id", "Kennung", "Identificador", "Tunnus"]),
    (
        "former_ids",
        ["Former ids", "Vroegere id's", "Frühere Kennungen", "Identificadores antigos", "Varasemad tunnused"],
    ),
    ("name", ["Name", "Naam", "Name", "Nome", "Nimi"]),
    ("language", ["Language", "Taal", "Sprache", "Língua", "Keel"]),
    ("timezone", ["Time zone", "Tijdzone", "Zeitzone", "Fuso horário", "Ajavöönd"]),
    ("known_since", ["Known since", "Bekend sinds", "Bekannt seit", "Conhecido desde", "Teada alates"]),
    ("member_since", ["Member since", "Lid sinds", "Mitglied seit", "Membro desde", "Liige alates"]),
    (
        "opted_out_since",
        [
            "No messages since (STOP)",
            "Geen berichten sinds (STOP)",
            "Keine Nachrichten seit (STOP)",
            "Sem mensagens desde (STOP)",
            "Sõnumiteta alates (STOP)",
        ],
    ),
    (
        "marketing_stopped_since",
        [
            "No marketing since",
            "Geen reclame sinds",
            "Keine Werbung seit",
            "Sem publicidade desde",
            "Reklaamita alates",
        ],
    ),
    (
        "quarantined_since",
        [
            "Not written to since",
            "Niet aangeschreven sinds",
            "Nicht angeschrieben seit",
            "Sem contacto desde",
            "Teile ei kirjutata alates",
        ],
    ),
    ("role", ["Role", "Rol", "Rolle", "Função", "Roll"]),
    ("tags", ["Tags", "Labels", "Schlagwörter", "Etiquetas", "Sildid"]),
    ("attributes", ["Attributes", "Kenmerken", "Merkmale", "Atributos", "Tunnusjooned"]),
    (
        "marketing_refused_by_whatsapp_until",
        [
            "Marketing refused by WhatsApp until",
            "Reclame door WhatsApp geweigerd tot",
            "Werbung von WhatsApp abgelehnt bis",
            "Publicidade recusada pelo WhatsApp até",
            "WhatsApp keeldub reklaamist kuni",
        ],
    ),
    (
        "undelivered_by_whatsapp_at",
        [
            "Message not delivered by WhatsApp",
            "Bericht niet bezorgd door WhatsApp",
            "Nachricht von WhatsApp nicht zugestellt",
            "Mensagem não entregue pelo WhatsApp",
            "WhatsApp ei toimetanud sõnumit kohale",
        ],
    ),
    // Numbers and ids, conversations.
    ("kind", ["Kind", "Soort", "Art", "Tipo", "Liik"]),
    ("value", ["Value", "Waarde", "Wert", "Valor", "Väärtus"]),
    ("since", ["Since", "Sinds", "Seit", "Desde", "Alates"]),
    ("channel", ["Channel", "Kanaal", "Kanal", "Canal", "Kanal"]),
    ("last_message_at", ["Last message", "Laatste bericht", "Letzte Nachricht", "Última mensagem", "Viimane sõnum"]),
    (
        "window_until",
        ["Window open until", "Venster open tot", "Fenster offen bis", "Janela aberta até", "Aken avatud kuni"],
    ),
    // Consents.
    ("entry", ["Entry", "Regel", "Eintrag", "Registo", "Kanne"]),
    ("purpose", ["Purpose", "Doel", "Zweck", "Finalidade", "Eesmärk"]),
    ("act", ["Decision", "Beslissing", "Entscheidung", "Decisão", "Otsus"]),
    ("source", ["Source", "Bron", "Quelle", "Origem", "Allikas"]),
    ("at", ["Time", "Tijd", "Zeit", "Hora", "Aeg"]),
    ("recorded_at", ["Recorded", "Vastgelegd", "Erfasst", "Registado", "Kirja pandud"]),
    ("actor", ["Recorded by", "Vastgelegd door", "Erfasst von", "Registado por", "Kirja pannud"]),
    ("evidence", ["Evidence", "Bewijs", "Nachweis", "Prova", "Tõend"]),
    ("wording", ["Wording", "Formulering", "Wortlaut", "Redação", "Sõnastus"]),
    ("text", ["Text", "Tekst", "Text", "Texto", "Tekst"]),
    // Requests.
    ("asked_at", ["Asked", "Gevraagd", "Angefragt", "Pedido", "Küsitud"]),
    ("confirmed_at", ["Confirmed", "Bevestigd", "Bestätigt", "Confirmado", "Kinnitatud"]),
    ("closed_at", ["Closed", "Afgesloten", "Abgeschlossen", "Concluído", "Lõpetatud"]),
    ("closed_as", ["Result", "Resultaat", "Ergebnis", "Resultado", "Tulemus"]),
    // Groups and lists.
    ("group", ["Group", "Groep", "Gruppe", "Grupo", "Rühm"]),
    ("subject", ["Subject", "Onderwerp", "Betreff", "Assunto", "Teema"]),
    ("joined_at", ["Joined", "Lid geworden", "Beigetreten", "Entrada", "Liitunud"]),
    ("left_at", ["Left", "Vertrokken", "Verlassen", "Saída", "Lahkunud"]),
    ("list", ["List", "Lijst", "Liste", "Lista", "Loend"]),
    ("added_at", ["Added", "Toegevoegd", "Hinzugefügt", "Adicionado", "Lisatud"]),
    // Mass messages and files.
    ("state", ["State", "Status", "Status", "Estado", "Olek"]),
    ("code", ["Code", "Code", "Code", "Código", "Kood"]),
    ("values", ["Values", "Waarden", "Werte", "Valores", "Väärtused"]),
    ("message", ["Message", "Bericht", "Nachricht", "Mensagem", "Sõnum"]),
    ("sent_at", ["Sent", "Verzonden", "Gesendet", "Enviado", "Saadetud"]),
    ("replied_at", ["Replied", "Beantwoord", "Beantwortet", "Respondido", "Vastatud"]),
    ("type", ["Type", "Type", "Typ", "Tipo", "Tüüp"]),
    ("bytes", ["Size in bytes", "Grootte in bytes", "Größe in Bytes", "Tamanho em bytes", "Suurus baitides"]),
    ("received_at", ["Received", "Ontvangen", "Empfangen", "Recebido", "Saabunud"]),
    // What programs keep.
    ("plugin", ["Program", "Programma", "Programm", "Programa", "Programm"]),
    ("key", ["Key", "Sleutel", "Schlüssel", "Chave", "Võti"]),
    ("expires_at", ["Kept until", "Bewaard tot", "Aufbewahrt bis", "Guardado até", "Hoitakse kuni"]),
    ("due_at", ["Due", "Gepland voor", "Fällig", "Previsto para", "Tähtaeg"]),
    ("payload", ["Content", "Inhoud", "Inhalt", "Conteúdo", "Sisu"]),
    ("data", ["Data", "Gegevens", "Daten", "Dados", "Andmed"]),
    ("error", ["Error", "Fout", "Fehler", "Erro", "Viga"]),
];

/// The names of a field; `None` for one that is not of an export.
pub fn names_of(field: &str) -> Option<&'static [&'static str; 5]> {
    FIELDS.iter().find(|(name, _)| *name == field).map(|(_, names)| names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_field_of_an_export_has_a_name() {
        let source = include_str!("../web/data/person.rs");
        // Events and messages are shown as texts.
        let (shown, rest) = source.split_once("\nfn received(").unwrap();
        let (_, plugins) = rest.split_once("\nasync fn exported_by_plugins(").unwrap();
        let (plugins, _) = plugins.split_once("\n#[cfg(test)]").unwrap();
        let parts: Vec<&str> = shown.split('"').chain([""]).chain(plugins.split('"')).collect();
        let is_field = |word: &str| word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.contains([' ', ':']);
        let fields: BTreeSet<&str> = parts
            .windows(2)
            .filter(|pair| pair[1].starts_with(": ") && is_field(pair[0]))
            .map(|pair| pair[0])
            .collect();
        assert!(fields.len() > 40, "{fields:?}");
        assert_eq!(fields, FIELDS.iter().map(|(name, _)| *name).collect());
    }

    #[test]
    fn names_are_there_in_every_language() {
        assert!(FIELDS.iter().all(|(_, names)| names.iter().all(|name| !name.is_empty() && !name.contains('<'))));
    }
}
