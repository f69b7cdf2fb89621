//! Lists of people.

use crate::env::*;
use beadle_model::{Coded as _, ContactId};
use beadle_store::{MAX_LISTS, WantedFacts};

const PEOPLE: [ContactId; 4] = [ContactId(1), ContactId(2), ContactId(3), ContactId(4)];

/// Four people.
async fn env() -> TestEnv {
    let env = TestEnv::new();
    for number in 1..=4 {
        env.append_one(message(&format!("m{number}"), sender(vec![wa(&format!("3160000000{number}"))]), "hi")).await;
    }
    env
}

fn members(env: &TestEnv, list: &str) -> Vec<i64> {
    let list = env.reader.list(list).unwrap().unwrap();
    let members = env.reader.list_members(list.id, None, 1000).unwrap();
    assert_eq!(members.len() as u64, list.members);
    members.into_iter().map(|member| member.contact.0).collect()
}

#[tokio::test]
async fn list_has_each_person_once_and_counts_them() {
    let env = env().await;
    let created = env.store.create_list("friends", Some("Of the house".into())).await.unwrap();
    assert_eq!((created.members, created.description.as_deref()), (0, Some("Of the house")));
    let change = env.store.edit_list("friends", [PEOPLE, PEOPLE].concat(), vec![PEOPLE[1]]).await.unwrap();
    assert_eq!((change.added, change.removed, change.members), (4, 1, 3));
    assert_eq!(members(&env, "friends"), [1, 3, 4]);
    let env = env.reopen();
    assert_eq!(members(&env, "friends"), [1, 3, 4]);
    let list = env.reader.list("friends").unwrap().unwrap();
    let page = env.reader.list_members(list.id, Some(ContactId(1)), 1).unwrap();
    assert_eq!(page.iter().map(|member| member.contact).collect::<Vec<_>>(), [ContactId(3)]);
    assert_eq!(env.store.delete_list("friends").await.unwrap().members, 3);
    assert!(env.reader.lists().unwrap().is_empty());
}

#[tokio::test]
async fn refused_change_of_a_list_changes_nothing() {
    let env = env().await;
    env.store.create_list("friends", None).await.unwrap();
    let code = |error: beadle_store::StoreError| error.code();
    assert_eq!(env.store.create_list("friends", None).await.map_err(code), Err("list-refused"));
    let unknown = vec![ContactId(1), ContactId(99)];
    assert_eq!(env.store.edit_list("friends", unknown, vec![]).await.map_err(code), Err("not-found"));
    assert!(members(&env, "friends").is_empty());
    assert_eq!(env.store.edit_list("foes", vec![], vec![]).await.map_err(code), Err("not-found"));
    assert_eq!(env.store.delete_list("foes").await.map_err(code), Err("not-found"));
    for number in 1..MAX_LISTS {
        env.store.create_list(&format!("list-{number}"), None).await.unwrap();
    }
    assert_eq!(env.store.create_list("one-more", None).await.map_err(code), Err("list-refused"));
}

#[tokio::test]
async fn merged_contact_is_on_the_lists_of_both() {
    let env = env().await;
    for (list, people) in [("a", vec![PEOPLE[0], PEOPLE[1]]), ("b", vec![PEOPLE[1]]), ("c", vec![PEOPLE[2]])] {
        env.store.create_list(list, None).await.unwrap();
        env.store.edit_list(list, people, vec![]).await.unwrap();
    }
    env.store.merge_contacts(PEOPLE[0], PEOPLE[1], false).await.unwrap();
    assert_eq!([members(&env, "a"), members(&env, "b"), members(&env, "c")], [vec![1], vec![1], vec![3]]);
    // The id of the merged contact stands for the other one.
    env.store.edit_list("b", vec![], vec![PEOPLE[1]]).await.unwrap();
    assert!(members(&env, "b").is_empty());
}

#[tokio::test]
async fn pages_of_facts_contain_only_wanted_facts() {
    let env = env().await;
    env.store.create_list("a", None).await.unwrap();
    env.store.edit_list("a", vec![PEOPLE[0], PEOPLE[2]], vec![]).await.unwrap();
    let list = env.reader.list("a").unwrap().unwrap().id;
    let wanted = WantedFacts { conversations: true, country: true, groups: vec![], lists: vec![list] };
    let first = env.reader.facts_of_people(None, 3, &wanted).unwrap();
    assert_eq!(first.next, Some(ContactId(3)));
    let [ana, bram, cem] = first.people.as_slice() else { panic!("{first:?}") };
    assert_eq!([ana, bram, cem].map(|person| person.lists.len()), [1, 0, 1]);
    assert_eq!((ana.country.as_deref(), ana.conversations.len()), (Some("NL"), 1));
    assert!(ana.conversations[0].last_inbound_at.is_some() && ana.conversations[0].window_until.is_some());
    let last = env.reader.facts_of_people(first.next, 3, &wanted).unwrap();
    assert_eq!((last.people.len(), last.next), (1, None));
    let nothing = env.reader.facts_of_people(None, 10, &WantedFacts::default()).unwrap();
    assert!(nothing.people.iter().all(|person| person.country.is_none() && person.conversations.is_empty()));
    let one = env.reader.facts_of_person(PEOPLE[2], &wanted).unwrap().unwrap();
    assert_eq!(&one, cem);
    assert!(env.reader.facts_of_person(ContactId(99), &wanted).unwrap().is_none());
}
