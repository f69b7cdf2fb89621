//! Changes of groups, and questions about them (whatsapp.md 3.2). Most are heard at once and answered by a webhook; what is
//! answered at once becomes an event here.

use crate::channel::CloudChannel;
use crate::graph::{Carries, Heard};
use crate::json::Json;
use crate::{errors, key, person, receipt, upload};
use beadle_model::event::{GroupNews, Problem};
use beadle_model::outgoing::GroupChange;
use beadle_model::{AliasKind, ContactId, EventBody, MessageId};
use beadle_pipeline::{Advice, SendRequest, SendResponse};
use beadle_store::step::{NewEvent, Place};
use reqwest::{Method, Url};
use serde_json::{Value, json};

/// What is asked of a group, all at once.
const FIELDS: &str =
    "subject,description,participants,join_approval_mode,suspended,creation_timestamp,total_participant_count";

impl CloudChannel {
    pub(crate) async fn change_group(&self, shipment: &SendRequest, change: &GroupChange) -> SendResponse {
        let group = shipment.group.as_deref().unwrap_or_default();
        let outcome = match change {
            GroupChange::Create { subject, description, approval_required } => {
                let mode = if *approval_required { "approval_required" } else { "auto_approve" };
                let mut body = json!({"messaging_product": "whatsapp", "subject": subject, "join_approval_mode": mode});
                put(&mut body, "description", description.as_deref());
                self.heard(Method::POST, self.number_url("groups"), body).await
            }
            GroupChange::Settings { subject, description } => {
                let mut body = json!({"messaging_product": "whatsapp"});
                put(&mut body, "subject", subject.as_deref());
                put(&mut body, "description", description.as_deref());
                self.heard(Method::POST, self.graph.url(&[group]), body).await
            }
            GroupChange::Picture { media } => self.set_picture(group, *media).await,
            GroupChange::Delete => {
                self.heard(Method::DELETE, self.graph.url(&[group]), json!({"messaging_product": "whatsapp"})).await
            }
            GroupChange::Remove { contacts } => self.remove(group, contacts).await,
            GroupChange::InviteLink { reset } => self.invite_link(shipment.message, group, *reset).await,
            GroupChange::Answer { requests, approve } => {
                self.answer_requests(shipment.message, group, requests, *approve).await
            }
            GroupChange::Refresh => self.refresh(shipment.message, group).await,
        };
        outcome.unwrap_or_else(|answer| answer)
    }

    /// Asked, and heard: the name of the request, where the platform gives one.
    async fn heard(&self, method: Method, url: Url, body: Value) -> Result<SendResponse, SendResponse> {
        let heard = self.graph.ask(method, url, Carries::Json(body.to_string().into_bytes())).await?;
        self.accepted(&heard)
    }

    fn accepted(&self, heard: &Heard) -> Result<SendResponse, SendResponse> {
        if !heard.http.is_success() {
            return Err(self.graph.nonsense(heard));
        }
        // Meta's pages show no body for some of these; a success without one is a success.
        let request = Json::parse(&heard.text).and_then(|tree| tree.string_of("request_id"));
        Ok(SendResponse::Accepted(request))
    }

    async fn set_picture(&self, group: &str, media: beadle_model::MediaId) -> Result<SendResponse, SendResponse> {
        let depot = self.depot()?;
        let (row, bytes) = upload::load(depot, media).await?;
        let form = upload::form(&[("messaging_product", "whatsapp")], ("picture.jpg", &row.mime_type, &bytes));
        let heard = self.graph.ask(Method::POST, self.graph.url(&[group]), form).await?;
        self.accepted(&heard)
    }

    async fn remove(&self, group: &str, contacts: &[ContactId]) -> Result<SendResponse, SendResponse> {
        let reader = self.depot()?.store.reader();
        let mut people = Vec::new();
        for contact in contacts {
            let names = reader.names_of(*contact).unwrap_or_default();
            let find = |kinds: &[AliasKind]| names.iter().find(|name| kinds.contains(&name.kind));
            match (find(&[AliasKind::WaId, AliasKind::Phone]), find(&[AliasKind::UserId])) {
                (Some(number), _) => people.push(json!({"user": format!("+{}", number.value)})),
                (None, Some(id)) => people.push(json!({"user_id": id.value})),
                (None, None) => return Err(no_name(*contact)),
            }
        }
        let body = json!({"messaging_product": "whatsapp", "participants": people});
        self.heard(Method::DELETE, self.graph.url(&[group, "participants"]), body).await
    }

    async fn invite_link(&self, asked: MessageId, group: &str, reset: bool) -> Result<SendResponse, SendResponse> {
        let url = self.graph.url(&[group, "invite_link"]);
        let heard = if reset {
            let body = json!({"messaging_product": "whatsapp"});
            self.graph.ask(Method::POST, url, Carries::Json(body.to_string().into_bytes())).await?
        } else {
            self.graph.ask(Method::GET, url, Carries::Nothing).await?
        };
        let link = Json::parse(&heard.text).and_then(|tree| tree.string_of("invite_link"));
        let Some(link) = link.filter(|_| heard.http.is_success()) else { return Err(self.graph.nonsense(&heard)) };
        let news = GroupNews { invite_link: Some(link), ..self.news(asked, group, "invite-link") };
        Ok(SendResponse::AcceptedWith(None, vec![self.told(news)]))
    }

    async fn answer_requests(
        &self,
        asked: MessageId,
        group: &str,
        requests: &[String],
        approve: bool,
    ) -> Result<SendResponse, SendResponse> {
        let body = json!({"messaging_product": "whatsapp", "join_requests": requests}).to_string().into_bytes();
        let method = if approve { Method::POST } else { Method::DELETE };
        let heard = self.graph.ask(method, self.graph.url(&[group, "join_requests"]), Carries::Json(body)).await?;
        let tree = Json::parse(&heard.text).filter(|_| heard.http.is_success());
        let Some(tree) = tree else { return Err(self.graph.nonsense(&heard)) };
        let list = |name: &str| tree.get(name).and_then(Json::items).unwrap_or_default();
        // Texts by the pages, objects in some examples.
        let ids = |name: &str| {
            let id =
                |item: &Json<'_>| item.text().map(|id| id.into_owned()).or_else(|| item.string_of("join_request_id"));
            list(name).iter().filter_map(id).collect::<Vec<String>>()
        };
        let errors = list("failed_join_requests").iter().filter_map(|failed| failed.get("errors")?.items()?.first());
        let problem = errors.chain(list("errors")).find_map(receipt::problem);
        let extra = json!({
            "approved": ids("approved_join_requests"),
            "rejected": ids("rejected_join_requests"),
            "failed": ids("failed_join_requests"),
        });
        let news = GroupNews { problem, extra, ..self.news(asked, group, "requests-answered") };
        Ok(SendResponse::AcceptedWith(None, vec![self.told(news)]))
    }

    async fn refresh(&self, asked: MessageId, group: &str) -> Result<SendResponse, SendResponse> {
        let mut url = self.graph.url(&[group]);
        url.query_pairs_mut().append_pair("fields", FIELDS);
        let heard = self.graph.ask(Method::GET, url, Carries::Nothing).await?;
        let tree = Json::parse(&heard.text).filter(|tree| heard.http.is_success() && tree.get("id").is_some());
        let Some(tree) = tree else { return Err(self.graph.nonsense(&heard)) };
        let members = tree.get("participants").and_then(Json::items);
        let members = members.map(|all| all.iter().map(person::named).filter(|names| !names.is_empty()).collect());
        let news = GroupNews {
            subject: tree.string_of("subject"),
            description: tree.string_of("description"),
            approval_required: tree.text_of("join_approval_mode").map(|mode| mode == "approval_required"),
            members,
            extra: json!({"suspended": tree.is_true("suspended")}),
            ..self.news(asked, group, "refreshed")
        };
        Ok(SendResponse::AcceptedWith(None, vec![self.told(news)]))
    }

    fn news(&self, asked: MessageId, group: &str, change: &str) -> GroupNews {
        GroupNews {
            channel: self.channel_name().to_owned(),
            group: Some(group.to_owned()),
            change: change.to_owned(),
            asked: Some(asked),
            ..GroupNews::default()
        }
    }

    /// An answer as an event. Its key is ours: should the question be repeated, the answer is told once.
    fn told(&self, news: GroupNews) -> NewEvent {
        let asked = news.asked.map(|asked| asked.to_string()).unwrap_or_default();
        let group = news.group.clone().unwrap_or_default();
        let key = key::of_names(None, &["group answer", &self.install(), &asked, &news.change]);
        NewEvent {
            key,
            place: Place::Group { channel: self.channel_name().to_owned(), group },
            happened_at: self.now(),
            opens_window: false,
            word: None,
            body: EventBody::GroupChanged(Box::new(news)),
        }
    }
}

fn put(body: &mut Value, key: &str, text: Option<&str>) {
    if let (Some(text), Some(body)) = (text, body.as_object_mut()) {
        body.insert(key.to_owned(), text.into());
    }
}

fn no_name(contact: ContactId) -> SendResponse {
    let problem = Problem {
        code: "no-recipient".to_owned(),
        title: errors::title_of("131212").to_owned(),
        details: Some(format!("no number or id of {contact} is known")),
        by: "host".to_owned(),
    };
    SendResponse::Refused(problem, Advice::Fail)
}
