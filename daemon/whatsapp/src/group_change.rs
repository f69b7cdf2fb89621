//! Requests that change a group or ask about one (docs/whatsapp.md#group-endpoints). The platform
//! answers most of them with a webhook; an immediate answer becomes an event here.

use crate::graph::{RequestBody, Response};
use crate::json::Json;
use crate::number::Number;
use crate::{errors, key, person, receipt, upload};
use beadle_model::event::{GroupNotification, Problem};
use beadle_model::outgoing::GroupChange;
use beadle_model::{AliasKind, ContactId, EventBody, MediaId, MessageId};
use beadle_pipeline::{Acceptance, Advice, SendRequest, SendResponse};
use beadle_store::step::{NewEvent, Placement};
use reqwest::{Method, Url};
use serde_json::{Value, json};

/// The fields of a group that are requested.
const FIELDS: &str =
    "subject,description,participants,join_approval_mode,suspended,creation_timestamp,total_participant_count";

/// Sends the request.
pub(crate) async fn send(number: &Number, request: &SendRequest, change: &GroupChange) -> SendResponse {
    let group = request.group.as_deref().unwrap_or_default();
    let target = Target { number, group, message: request.message };
    let outcome = match change {
        GroupChange::Create { subject, description, approval_required } => {
            let mode = if *approval_required { "approval_required" } else { "auto_approve" };
            let mut body = json!({"messaging_product": "whatsapp", "subject": subject, "join_approval_mode": mode});
            put(&mut body, "description", description.as_deref());
            target.request(Method::POST, number.url("groups"), body).await
        }
        GroupChange::Settings { subject, description } => {
            let mut body = json!({"messaging_product": "whatsapp"});
            put(&mut body, "subject", subject.as_deref());
            put(&mut body, "description", description.as_deref());
            target.request(Method::POST, target.url(), body).await
        }
        GroupChange::Picture { media } => target.set_picture(*media).await,
        GroupChange::Delete => {
            target.request(Method::DELETE, target.url(), json!({"messaging_product": "whatsapp"})).await
        }
        GroupChange::Remove { contacts } => target.remove(contacts).await,
        GroupChange::InviteLink { reset } => target.invite_link(*reset).await,
        GroupChange::Answer { requests, approve } => target.answer_requests(requests, *approve).await,
        GroupChange::Refresh => target.refresh().await,
    };
    outcome.unwrap_or_else(|refusal| refusal)
}

/// The group that a request is about, and the message that asks for it.
struct Target<'a> {
    number: &'a Number,
    /// The platform's id; empty if the group is to be created.
    group: &'a str,
    message: MessageId,
}

impl Target<'_> {
    fn url(&self) -> Url {
        self.number.graph.url(&[self.group])
    }

    fn edge(&self, edge: &str) -> Url {
        self.number.graph.url(&[self.group, edge])
    }

    /// Sends a request whose result arrives as a webhook. The platform's request id, if there is
    /// one, identifies it.
    async fn request(&self, method: Method, url: Url, body: Value) -> Result<SendResponse, SendResponse> {
        let body = RequestBody::Json(body.to_string().into_bytes());
        let response = self.number.graph.request(method, url, body).await?;
        self.accepted(&response)
    }

    fn accepted(&self, response: &Response) -> Result<SendResponse, SendResponse> {
        if !response.status.is_success() {
            return Err(self.number.graph.unexpected(response));
        }
        // Some of these responses are documented without a body, so an empty one counts as success.
        let request = Json::parse(&response.body).and_then(|tree| tree.string_of("request_id"));
        Ok(SendResponse::accepted(request))
    }

    async fn set_picture(&self, media: MediaId) -> Result<SendResponse, SendResponse> {
        let (row, bytes) = upload::load(self.number.media_store()?, media).await?;
        let form = upload::form(&[("messaging_product", "whatsapp")], ("picture.jpg", &row.mime_type, &bytes));
        let response = self.number.graph.request(Method::POST, self.url(), form).await?;
        self.accepted(&response)
    }

    async fn remove(&self, contacts: &[ContactId]) -> Result<SendResponse, SendResponse> {
        let (store, asked) = (&self.number.media_store()?.store, contacts.to_vec());
        let known = store.read(move |reader| {
            Ok(asked.into_iter().map(|contact| reader.contact_aliases(contact).unwrap_or_default()).collect::<Vec<_>>())
        });
        let known = known.await.map_err(|error| SendResponse::NotSent(error.to_string()))?;
        let mut participants = Vec::new();
        for (contact, aliases) in contacts.iter().zip(known) {
            let find = |kinds: &[AliasKind]| aliases.iter().find(|alias| kinds.contains(&alias.kind));
            match (find(&[AliasKind::WaId, AliasKind::Phone]), find(&[AliasKind::UserId])) {
                (Some(number), _) => participants.push(json!({"user": format!("+{}", number.value)})),
                (None, Some(id)) => participants.push(json!({"user_id": id.value})),
                (None, None) => return Err(no_recipient(*contact)),
            }
        }
        let body = json!({"messaging_product": "whatsapp", "participants": participants});
        self.request(Method::DELETE, self.edge("participants"), body).await
    }

    async fn invite_link(&self, reset: bool) -> Result<SendResponse, SendResponse> {
        let (graph, url) = (&self.number.graph, self.edge("invite_link"));
        let response = if reset {
            let body = json!({"messaging_product": "whatsapp"});
            graph.request(Method::POST, url, RequestBody::Json(body.to_string().into_bytes())).await?
        } else {
            graph.request(Method::GET, url, RequestBody::Empty).await?
        };
        let link = Json::parse(&response.body).and_then(|tree| tree.string_of("invite_link"));
        let Some(link) = link.filter(|_| response.status.is_success()) else {
            return Err(graph.unexpected(&response));
        };
        let notification = GroupNotification { invite_link: Some(link), ..self.changed("invite-link") };
        Ok(self.reported(notification))
    }

    async fn answer_requests(&self, requests: &[String], approve: bool) -> Result<SendResponse, SendResponse> {
        let body = json!({"messaging_product": "whatsapp", "join_requests": requests}).to_string().into_bytes();
        let method = if approve { Method::POST } else { Method::DELETE };
        let graph = &self.number.graph;
        let response = graph.request(method, self.edge("join_requests"), RequestBody::Json(body)).await?;
        let tree = Json::parse(&response.body).filter(|_| response.status.is_success());
        let Some(tree) = tree else { return Err(graph.unexpected(&response)) };
        let list = |name: &str| tree.get(name).and_then(Json::items).unwrap_or_default();
        // Strings according to the documentation, objects in some examples.
        let ids = |name: &str| {
            let id =
                |item: &Json<'_>| item.text().map(|id| id.into_owned()).or_else(|| item.string_of("join_request_id"));
            list(name).iter().filter_map(id).collect::<Vec<String>>()
        };
        let errors = list("failed_join_requests").iter().filter_map(|failed| receipt::errors_of(failed).first());
        let problem = errors.chain(list("errors")).find_map(receipt::problem);
        let extra = json!({
            "approved": ids("approved_join_requests"),
            "rejected": ids("rejected_join_requests"),
            "failed": ids("failed_join_requests"),
        });
        let notification = GroupNotification { problem, extra, ..self.changed("requests-answered") };
        Ok(self.reported(notification))
    }

    async fn refresh(&self) -> Result<SendResponse, SendResponse> {
        let mut url = self.url();
        url.query_pairs_mut().append_pair("fields", FIELDS);
        let response = self.number.graph.request(Method::GET, url, RequestBody::Empty).await?;
        let tree = Json::parse(&response.body);
        let tree = tree.filter(|tree| response.status.is_success() && tree.get("id").is_some());
        let Some(tree) = tree else { return Err(self.number.graph.unexpected(&response)) };
        let members = tree.get("participants").and_then(Json::items);
        let members =
            members.map(|all| all.iter().map(person::identities).filter(|aliases| !aliases.is_empty()).collect());
        let notification = GroupNotification {
            subject: tree.string_of("subject"),
            description: tree.string_of("description"),
            approval_required: tree.text_of("join_approval_mode").map(|mode| mode == "approval_required"),
            members,
            extra: json!({"suspended": tree.is_true("suspended")}),
            ..self.changed("refreshed")
        };
        Ok(self.reported(notification))
    }

    fn changed(&self, change: &str) -> GroupNotification {
        GroupNotification {
            channel: self.number.channel.clone(),
            group: Some(self.group.to_owned()),
            change: change.to_owned(),
            requested_by: Some(self.message),
            ..GroupNotification::default()
        }
    }

    fn reported(&self, notification: GroupNotification) -> SendResponse {
        SendResponse::Accepted(Acceptance { events: vec![self.event(notification)], ..Acceptance::default() })
    }

    /// The answer as an event. Its key contains the message id, so that a repeated request gives
    /// one event.
    fn event(&self, notification: GroupNotification) -> NewEvent {
        let message = self.message.to_string();
        let key = key::of_id(None, &["group answer", self.number.install(), &message, &notification.change]);
        NewEvent {
            key,
            placement: Placement::Group { channel: self.number.channel.clone(), group: self.group.to_owned() },
            happened_at: self.number.now(),
            opens_window: false,
            keyword: None,
            body: EventBody::GroupChanged(Box::new(notification)),
        }
    }
}

fn put(body: &mut Value, key: &str, text: Option<&str>) {
    if let (Some(text), Some(body)) = (text, body.as_object_mut()) {
        body.insert(key.to_owned(), text.into());
    }
}

fn no_recipient(contact: ContactId) -> SendResponse {
    let problem = Problem {
        code: "no-recipient".to_owned(),
        title: errors::title_of("131212").to_owned(),
        details: Some(format!("{contact} has no known number or user id")),
        by: "host".to_owned(),
    };
    SendResponse::Refused(problem, Advice::Fail)
}
