//! Says who belongs to a segment when a person asks for it.
//!
//! `belongs CONTACT SEGMENT`, `members SEGMENT`. Scenarios install it to check the capability
//! `segments` in the real daemon. Not installed anywhere.

use beadle_plugin::prelude::*;

#[derive(Default)]
struct Census;

impl OnMessage for Census {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let Some(text) = event.text() else { return Ok(Disposition::Pass) };
        let words: Vec<&str> = text.split(' ').collect();
        let answer = match words.as_slice() {
            ["belongs", contact, segment] => segments::contains(segment, contact).map(|belongs| belongs.to_string()),
            ["members", segment] => {
                let members: Result<Vec<String>, Refusal> = segments::members(segment).collect();
                members.map(|members| members.join(" "))
            }
            _ => return Ok(Disposition::Pass),
        };
        event.reply(answer.unwrap_or_else(|refusal| format!("{}: {}", refusal.code, refusal.message)))?;
        Ok(Disposition::Claimed)
    }
}

plugin!(Census: OnMessage);

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_plugin::testing::Host;

    #[test]
    fn members_of_a_segment_are_listed_over_pages() {
        let host = Host::new();
        let people: Vec<Contact> = (0..1200).map(|number| host.person(&format!("Person {number}"))).collect();
        let ana = host.person("Ana");
        host.segment("vips", &people.iter().collect::<Vec<_>>());
        host.segment("list:friends", &[&ana]);
        assert_eq!(segments::members("vips").count(), 1200);
        assert_eq!(segments::contains("list:friends", &ana.id), Ok(true));
        assert_eq!(segments::contains("vips", &ana.id), Ok(false));
        let refused = |name: &str| segments::contains(name, &ana.id).map_err(|refusal| refusal.code);
        assert_eq!(refused("nobody"), Err("segment-unknown".to_owned()));
        assert_eq!(refused("list:nobody"), Err("list-unknown".to_owned()));
        assert!(segments::members("nobody").all(|member| member.is_err()));
        let event = host.text(&ana, "members list:friends");
        assert!(Census.on_message(event).is_ok());
        assert_eq!(host.sent().pop().map(|sent| sent.body), Some(ana.id));
    }
}
