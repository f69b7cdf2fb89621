//! What messages cost: one charge per message, whatever the receipts do; and what is pending until
//! then.

use crate::env::*;
use beadle_model::effect::{Outreach, PriceKey};
use beadle_model::event::Pricing;
use beadle_model::{ConversationId, Day, MessageId, PluginNo};
use beadle_store::step::*;
use beadle_store::{ChargeRow, PendingCharge, Reader};
use proptest::prelude::*;

fn pricing(category: &str, kind: &str) -> Pricing {
    let (model, billable) = (Some("PMP".into()), Some(kind == "regular"));
    Pricing { category: category.into(), kind: Some(kind.into()), model, billable, subtype: None }
}

fn priced(message: MessageId, status: &str) -> Receipt {
    Receipt { pricing: Some(pricing("marketing", "regular")), ..receipt(message, status, NOW) }
}

fn always() -> (Day, Day) {
    (Day(0), Day(1_000_000))
}

fn charges(reader: &Reader) -> Vec<ChargeRow> {
    reader.charges(always().0, always().1).unwrap()
}

fn charged(reader: &Reader) -> u64 {
    charges(reader).iter().map(|charge| charge.messages).sum()
}

fn pending(reader: &Reader) -> Vec<PendingCharge> {
    reader.pending_charges(always().0, always().1).unwrap()
}

/// A conversation of this kind, and a plugin.
async fn conversation(env: &TestEnv, number: &str, id: &str, group: Option<&str>) -> (ConversationId, PluginNo) {
    let sender = Sender { group: group.map(str::to_owned), ..sender(vec![wa(number)]) };
    let event = env.append_one(message(id, sender, "hi")).await;
    (event.conversation.as_ref().unwrap().id, env.store.plugin_no("news").await.unwrap())
}

/// Commits messages to a conversation.
async fn commit(env: &TestEnv, plugin: PluginNo, sends: Vec<NewSend>) {
    let event = env.events()[0].id;
    env.store.commit(Commit { sends, ..env.commit(event, plugin) }).await.unwrap();
}

#[tokio::test]
async fn charge_says_who_what_where_and_when() {
    let env = TestEnv::new();
    let (to, plugin) = conversation(&env, "31612345678", "a", None).await;
    let id = env.store.reserve_message();
    commit(&env, plugin, vec![new_send(id, to, SendState::Sending, NOW)]).await;
    env.manual.advance_ms(2 * DAY);
    env.receipts(vec![priced(id, "sent")], vec![]).await;
    assert_eq!(charges(&env.reader), [], "it has not arrived");
    env.receipts(vec![receipt(id, "delivered", NOW)], vec![]).await;
    let row = ChargeRow {
        // When it was sent, not when it arrived.
        day: Day::of(NOW),
        channel: "shop".into(),
        plugin,
        broadcast: None,
        country: "NL".into(),
        pricing: pricing("marketing", "regular"),
        messages: 1,
    };
    assert_eq!(charges(&env.reader), [row]);
    assert_eq!(env.reader.charged_by_category().unwrap(), [("marketing".to_owned(), 1)]);
    assert_eq!(env.reader.charges(Day::of(NOW).next(), Day(1_000_000)).unwrap(), []);
    // The ledger outlives the message.
    let gone = Receipt { message: ReceiptFor::Ours(MessageId(999), "wamid.x".into()), ..priced(id, "read") };
    assert_eq!(env.receipts(vec![gone], vec![]).await.unknown_receipts, 1);
    assert_eq!(charged(&env.reader), 1);
}

#[tokio::test]
async fn messages_with_one_price_share_a_row_and_failed_ones_have_none() {
    let env = TestEnv::new();
    let (to, plugin) = conversation(&env, "31612345678", "a", None).await;
    let ids: Vec<_> = (0..4).map(|_| env.store.reserve_message()).collect();
    commit(&env, plugin, ids.iter().map(|id| new_send(*id, to, SendState::Sending, NOW)).collect()).await;
    let service =
        Receipt { pricing: Some(pricing("service", "free_customer_service")), ..receipt(ids[2], "delivered", NOW) };
    let receipts = vec![
        priced(ids[0], "delivered"),
        priced(ids[1], "read"),
        service,
        priced(ids[3], "sent"),
        receipt(ids[3], "failed", NOW),
    ];
    env.receipts(receipts, vec![]).await;
    let rows: Vec<_> =
        charges(&env.reader).into_iter().map(|charge| (charge.pricing.category, charge.messages)).collect();
    assert_eq!(rows, [("marketing".to_owned(), 2), ("service".to_owned(), 1)]);
}

#[tokio::test]
async fn each_member_of_a_group_is_charged_once() {
    let env = TestEnv::new();
    let (to, plugin) = conversation(&env, "31612345678", "a", Some("group-1")).await;
    let id = env.store.reserve_message();
    commit(&env, plugin, vec![new_send(id, to, SendState::Sending, NOW)]).await;
    let member = |number: &str, status: &str| {
        let pricing = Some(pricing("group_utility", "regular"));
        Receipt { participant: vec![wa(number)], pricing, ..receipt(id, status, NOW) }
    };
    let receipts = vec![
        member("31612345678", "delivered"),
        member("4915112345678", "delivered"),
        member("31612345678", "read"),
        member("31612345678", "delivered"),
        // About the group as a whole: not one more person.
        Receipt { participant: vec![], ..member("", "delivered") },
        // Not priced when it arrived, but when it was read.
        Receipt { pricing: None, ..member("3725123456", "delivered") },
        member("3725123456", "read"),
    ];
    for _ in 0..2 {
        env.receipts(receipts.clone(), vec![]).await;
    }
    let mut rows: Vec<_> = charges(&env.reader).into_iter().map(|charge| (charge.country, charge.messages)).collect();
    rows.sort();
    assert_eq!(rows, [("DE".to_owned(), 1), ("EE".to_owned(), 1), ("NL".to_owned(), 1)]);
}

#[tokio::test]
async fn charge_and_receipt_are_one_step_for_a_crash() {
    let env = TestEnv::new();
    let (to, plugin) = conversation(&env, "31612345678", "a", None).await;
    let id = env.store.reserve_message();
    commit(&env, plugin, vec![new_send(id, to, SendState::Sending, NOW)]).await;
    let before = env.crashed();
    env.receipts(vec![priced(id, "delivered")], vec![]).await;
    let after = env.crashed();
    // The platform repeats the webhook that was not answered, and possibly the one that was.
    for env in [&before, &after] {
        env.receipts(vec![priced(id, "delivered")], vec![]).await;
        env.receipts(vec![priced(id, "read"), priced(id, "delivered")], vec![]).await;
        assert_eq!(charged(&env.reader), 1);
    }
}

#[tokio::test]
async fn what_has_no_price_is_pending_from_the_queue_on() {
    let env = TestEnv::new();
    let (to, plugin) = conversation(&env, "31612345678", "a", None).await;
    let price = PriceKey { country: "NL".into(), category: "marketing".into() };
    let outreach = Some(Outreach { price: Some(price.clone()), ..Outreach::default() });
    let ids: Vec<_> = (0..4).map(|_| env.store.reserve_message()).collect();
    let queued = |id: &MessageId| NewSend { outreach: outreach.clone(), ..new_send(*id, to, SendState::Queued, NOW) };
    commit(&env, plugin, ids.iter().map(queued).collect()).await;
    let count = |sent: bool| -> u64 {
        pending(&env.reader).iter().filter(|charge| charge.is_sent == sent).map(|charge| charge.messages).sum()
    };
    let row = PendingCharge { day: Day::of(NOW), is_sent: false, channel: "shop".into(), plugin, price, messages: 4 };
    assert_eq!(pending(&env.reader), [row]);
    assert_eq!(env.reader.pending_charge_sent(ids[0]).unwrap(), Some(false));

    env.store.claim_sends(ids.clone()).await.unwrap();
    assert_eq!((count(false), count(true)), (0, 4));
    assert_eq!(env.reader.pending_charge_sent(ids[0]).unwrap(), Some(true));
    // One waits for tomorrow, one fails, one is dropped, one gets its price.
    let tomorrow = NOW.plus_ms(DAY);
    let later = SendOutcome::Later { due_at: tomorrow, counted: false, possibly_duplicate: false };
    env.settle(ids[0], later).await;
    env.settle(ids[1], SendOutcome::Failed(problem("131026"))).await;
    env.settle(ids[2], SendOutcome::Dropped).await;
    env.receipts(vec![priced(ids[3], "delivered")], vec![]).await;
    assert_eq!((count(false), count(true)), (1, 0));
    assert_eq!(env.reader.pending_charges(Day::of(tomorrow), Day::of(tomorrow)).unwrap().len(), 1);
    assert_eq!(charged(&env.reader), 1);
    env.receipts(vec![receipt(ids[0], "failed", NOW)], vec![]).await;
}

fn receipts() -> impl Strategy<Value = Vec<(usize, bool)>> {
    // At least one priced receipt of what has arrived, among any others, in any order.
    (prop::collection::vec((0..4usize, any::<bool>()), 0..8), 1..4usize)
        .prop_map(|(mut all, arrived)| {
            all.push((arrived, true));
            all
        })
        .prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_and_repetition_of_receipts_is_one_charge(
        one in receipts(),
        member in receipts(),
        restart in 0..16usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut env = TestEnv::new();
            let (to, plugin) = conversation(&env, "31612345678", "a", None).await;
            let (group, _) = conversation(&env, "31612345678", "b", Some("group-1")).await;
            let (id, in_group) = (env.store.reserve_message(), env.store.reserve_message());
            let sends = [(id, to), (in_group, group)];
            commit(&env, plugin, sends.map(|(id, to)| new_send(id, to, SendState::Sending, NOW)).into()).await;
            let receipt_of = |id, (status, has_price): (usize, bool)| {
                let status = ["sent", "delivered", "read", "played"][status];
                if has_price { priced(id, status) } else { receipt(id, status, NOW) }
            };
            let all = one.iter().map(|state| receipt_of(id, *state));
            let all: Vec<Receipt> = all
                .chain(member.iter().map(|state| Receipt { participant: vec![wa("31612345678")], ..receipt_of(in_group, *state) }))
                .collect();
            for (n, receipt) in all.iter().enumerate() {
                if n == restart {
                    env = env.reopen();
                }
                env.receipts(vec![receipt.clone()], vec![]).await;
            }
            assert_eq!(charged(&env.reader), 2, "{one:?} {member:?}");
            env.receipts(all, vec![]).await;
            assert_eq!(charged(&env.reader), 2, "repeated");
        });
    }
}
