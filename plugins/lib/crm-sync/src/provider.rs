//! The providers, and which of them the settings name.

pub mod carddav;
pub mod espocrm;
pub mod hubspot;
mod keyset;
mod multistatus;
pub mod odoo;
pub mod pipedrive;
pub mod twenty;
pub mod vcard;
pub mod webhook;

use crate::port::{Provider, Setup};
use crate::settings::{ProviderKind, Settings};

/// The provider of the settings.
pub fn of(settings: &Settings) -> Box<dyn Provider> {
    let (phone, email) = match settings.provider {
        ProviderKind::Hubspot | ProviderKind::Pipedrive | ProviderKind::Odoo => ("phone", "email"),
        ProviderKind::Espocrm => ("phoneNumber", "emailAddress"),
        ProviderKind::Twenty => ("phones.primaryPhoneNumber", "emails.primaryEmail"),
        ProviderKind::Carddav => ("TEL", "EMAIL"),
        ProviderKind::Webhook => ("", ""),
    };
    let search = &settings.search;
    let or = |set: &Option<String>, usual: &str| {
        set.clone().or_else(|| Some(usual.to_owned())).filter(|name| !name.is_empty())
    };
    let setup = Setup {
        base_url: settings.base_url.trim_end_matches('/').to_owned(),
        fields: settings.map.iter().map(|entry| entry.crm.clone()).collect(),
        member_id: search.member_id.clone(),
        user_id: search.user_id.clone(),
        phone: or(&search.phone, phone),
        email: or(&search.email, email),
        write_mark: settings.write_mark.clone(),
    };
    match settings.provider {
        ProviderKind::Carddav => Box::new(carddav::Carddav { setup }),
        ProviderKind::Hubspot => Box::new(hubspot::Hubspot { setup }),
        ProviderKind::Pipedrive => Box::new(pipedrive::Pipedrive { setup }),
        ProviderKind::Espocrm => Box::new(espocrm::Espocrm { setup, entity: settings.entity.clone() }),
        ProviderKind::Twenty => Box::new(twenty::Twenty { setup }),
        ProviderKind::Odoo => {
            let is_flag = |word: &String| word == "true" || word == "false";
            let flags = settings.map.iter().filter(|entry| entry.values.values().any(is_flag));
            let flags = flags.map(|entry| entry.crm.clone()).collect();
            Box::new(odoo::Odoo { setup, database: settings.database.clone(), flags })
        }
        ProviderKind::Webhook => Box::new(webhook::Webhook { setup, pointers: settings.pointers.clone() }),
    }
}
