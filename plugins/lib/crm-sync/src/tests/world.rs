//! A host in memory. A handler runs on a copy, which replaces the original when the handler
//! commits: a restart before the commit is a copy thrown away.

use super::systems::System;
use crate::engine::Engine;
use crate::host::{DurableRequest, Host, HostResult, IdPage, Outcome, RequestFailure, Scope};
use crate::member::{Change, Member};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the host tells the plugin.
#[derive(Clone, Debug)]
pub enum Event {
    /// A contact changed.
    Changed(String),
    /// A contact joined.
    Joined(String),
    /// A request has an outcome.
    Answered(DurableRequest, Outcome),
}

/// The host's durable state.
#[derive(Clone, Debug, Default)]
pub struct Durable {
    pub now_ms: i64,
    pub state: BTreeMap<(Scope, String), Vec<u8>>,
    pub members: BTreeMap<String, Member>,
    pub removed: BTreeMap<String, String>,
    pub outbox: VecDeque<DurableRequest>,
    pub keys: BTreeSet<String>,
    pub timers: BTreeMap<String, i64>,
    pub events: VecDeque<Event>,
    pub effects: usize,
    pub log: Vec<String>,
}

impl Host for Durable {
    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn get(&self, scope: &Scope, key: &str) -> HostResult<Option<Vec<u8>>> {
        Ok(self.state.get(&(scope.clone(), key.to_owned())).cloned())
    }

    fn set(&mut self, scope: &Scope, key: &str, value: Vec<u8>) -> HostResult {
        assert!(key.len() <= 256 && value.len() <= 256 * 1024, "{key}");
        self.effects += 1;
        self.state.insert((scope.clone(), key.to_owned()), value);
        Ok(())
    }

    fn delete(&mut self, scope: &Scope, key: &str) -> HostResult {
        self.effects += 1;
        self.state.remove(&(scope.clone(), key.to_owned()));
        Ok(())
    }

    fn scan(
        &self,
        scope: &Scope,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> HostResult<Vec<(String, Vec<u8>)>> {
        let keys = self.state.iter().filter(|((of, key), _)| of == scope && key.starts_with(prefix));
        let keys = keys.filter(|((_, key), _)| after.is_none_or(|after| key.as_str() > after));
        Ok(keys.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn member(&self, id: &str) -> HostResult<Option<Member>> {
        let id = self.removed.get(id).map_or(id, String::as_str);
        Ok(self.members.get(id).cloned())
    }

    fn find_phone(&self, digits: &str) -> HostResult<Option<String>> {
        let found = self.members.values().find(|member| member.phones.iter().any(|phone| phone == digits));
        Ok(found.map(|member| member.id.clone()))
    }

    fn find_user_id(&self, user_id: &str) -> HostResult<Option<String>> {
        let found = self.members.values().find(|member| member.user_ids.iter().any(|id| id == user_id));
        Ok(found.map(|member| member.id.clone()))
    }

    fn members(&self, after: Option<&str>, limit: usize) -> HostResult<IdPage> {
        let ids = self.members.keys().filter(|id| after.is_none_or(|after| id.as_str() > after));
        let ids: Vec<String> = ids.take(limit).cloned().collect();
        let next = ids.last().filter(|_| ids.len() == limit).cloned();
        Ok((ids, next))
    }

    fn change(&mut self, id: &str, changes: &[Change]) -> HostResult<Vec<(String, String)>> {
        self.effects += 1;
        let (mut refused, mut accepted) = (Vec::new(), Vec::new());
        for change in changes {
            let text = change.value.as_ref().map(ToString::to_string).unwrap_or_default();
            if text.contains("refuse-me") {
                refused.push((change.field.clone(), "attribute-type".to_owned()));
            } else {
                accepted.push(change.clone());
            }
        }
        if let Some(member) = self.members.get_mut(id) {
            *member = member.with(&accepted);
        }
        self.events.push_back(Event::Changed(id.to_owned()));
        Ok(refused)
    }

    fn request(&mut self, request: DurableRequest) -> HostResult {
        self.effects += 1;
        assert!(request.context.len() < 64 * 1024);
        assert!(self.keys.insert(request.key.clone()), "{} was used twice", request.key);
        self.outbox.push_back(request);
        Ok(())
    }

    fn timer(&mut self, key: &str, at_ms: i64) -> HostResult {
        self.effects += 1;
        self.timers.insert(key.to_owned(), at_ms);
        Ok(())
    }

    fn log(&mut self, line: &str) {
        self.log.push(line.to_owned());
    }
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Carried out and answered.
    Answered,
    /// Carried out; the response is lost, and the host sends it again.
    Repeated,
    /// Carried out; the response is lost, and the host gives up.
    Lost,
    /// Not carried out: the host gives up.
    NotSent,
    /// The system has an error.
    Failing,
    /// The response makes no sense.
    Nonsense,
}

/// The host and a system.
pub struct World<S> {
    pub settings: String,
    pub host: Durable,
    pub system: S,
    /// Handlers that run once in vain.
    pub restarts: u32,
}

impl<S: System> World<S> {
    pub fn new(settings: &serde_json::Value, system: S) -> Self {
        let settings = settings.to_string();
        let host = Durable { now_ms: 1_790_000_000_000, ..Durable::default() };
        let mut world = Self { settings, host, system, restarts: 0 };
        world.handle(|engine, host| engine.start(host, b"random bytes"));
        world
    }

    /// Runs a handler, with a new plugin each time; if a restart is planned, in vain before.
    pub fn handle<T>(&mut self, handler: impl Fn(&Engine, &mut Durable) -> HostResult<T>) -> T {
        let run = |host: &Durable| {
            let mut host = host.clone();
            host.effects = 0;
            let engine = Engine::new(&self.settings).unwrap();
            let value = handler(&engine, &mut host).unwrap();
            assert!(host.effects <= 100, "{} effects", host.effects);
            (host, value)
        };
        if self.restarts > 0 {
            self.restarts -= 1;
            let _in_vain = run(&self.host);
        }
        let (host, value) = run(&self.host);
        self.host = host;
        value
    }

    /// Adds a member who joined.
    pub fn join(&mut self, member: Member) {
        let id = member.id.clone();
        self.host.members.insert(id.clone(), member);
        self.host.events.push_back(Event::Joined(id));
    }

    /// Someone edits a member.
    pub fn edit(&mut self, id: &str, edit: impl FnOnce(&mut Member)) {
        if let Some(member) = self.host.members.get_mut(id) {
            edit(member);
            self.host.events.push_back(Event::Changed(id.to_owned()));
        }
    }

    /// Delivers the next event.
    pub fn deliver(&mut self) -> bool {
        let Some(event) = self.host.events.front().cloned() else { return false };
        self.handle(|engine, host| {
            host.events.pop_front();
            match &event {
                Event::Changed(id) => engine.member_changed(host, id),
                Event::Joined(id) => engine.member_joined(host, id),
                Event::Answered(request, outcome) => engine.response(host, &request.context, outcome),
            }
        });
        true
    }

    /// Carries out a request of the outbox, the first with its order key.
    pub fn send(&mut self, index: usize, fate: Fate) -> bool {
        let orders: Vec<usize> = (0..self.host.outbox.len())
            .filter(|index| {
                let order = &self.host.outbox[*index].order;
                let waits = |event: &Event| matches!(event, Event::Answered(request, _) if request.order == *order);
                let is_first = !self.host.outbox.iter().take(*index).any(|earlier| earlier.order == *order);
                is_first && !self.host.events.iter().any(waits)
            })
            .collect();
        if orders.is_empty() {
            return false;
        }
        let index = orders[index % orders.len()];
        let request = self.host.outbox[index].clone();
        let now_ms = self.host.now_ms;
        let outcome = match fate {
            Fate::Answered => Ok(self.system.serve(now_ms, &request.http)),
            Fate::Repeated => {
                self.system.serve(now_ms, &request.http);
                return true;
            }
            Fate::Lost => {
                self.system.serve(now_ms, &request.http);
                Err(RequestFailure { code: "outcome-unknown".into(), may_be_executed: true })
            }
            Fate::NotSent => Err(RequestFailure { code: "unreachable".into(), may_be_executed: false }),
            Fate::Failing => Ok(crate::http::HttpResponse { status: 500, ..Default::default() }),
            Fate::Nonsense => {
                Ok(crate::http::HttpResponse { status: 200, body: b"<html>".to_vec(), ..Default::default() })
            }
        };
        self.host.outbox.remove(index);
        self.host.events.push_back(Event::Answered(request, outcome));
        true
    }

    /// Time passes; due timers fire.
    pub fn pass(&mut self, ms: i64) {
        self.host.now_ms += ms;
        loop {
            let now_ms = self.host.now_ms;
            let due = self.host.timers.iter().find(|(_, at_ms)| **at_ms <= now_ms).map(|(key, _)| key.clone());
            let Some(key) = due else { break };
            self.handle(|engine, host| {
                host.timers.remove(&key);
                engine.timer(host, &key)
            });
        }
    }

    /// A call of the hook.
    pub fn hook(&mut self, body: &[u8]) {
        let call = crate::http::HttpResponse { body: body.to_vec(), ..Default::default() };
        self.handle(|engine, host| engine.hook(host, &call).map(drop));
    }

    /// Everything happens as it should, for an hour and a half of polls.
    pub fn settle(&mut self) {
        for _ in 0..90 {
            let mut rounds = 0;
            while self.deliver() || self.send(0, Fate::Answered) {
                rounds += 1;
                assert!(rounds < 20_000, "no end: {:?}", self.host.outbox.front());
            }
            self.pass(60_000);
        }
        while self.deliver() || self.send(0, Fate::Answered) {}
    }

    /// The engine, for questions.
    pub fn ask<T>(&mut self, question: impl Fn(&Engine, &mut Durable) -> HostResult<T>) -> T {
        self.handle(question)
    }
}
