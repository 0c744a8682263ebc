//! The same domain at a target.
//!
//! libvirt has no call that starts a QEMU which only waits for a stream: its own migration does that in
//! one piece. So the domain is created paused with `-incoming defer` on its command line; libvirt asks
//! such a QEMU what it asks every other, and leaves the rest to QMP. A definition never has these words.

use super::{Definition, attribute, has_mac, plug, write};
use crate::{Error, Result};
use model::Mac;
use model::libvirt::Plugged;
use xmltree::{Element, Namespace, XMLNode};

const QEMU: &str = "http://libvirt.org/schemas/domain/qemu/1.0";
const PREFIX: &str = "qemu";
const WORDS: [&str; 2] = ["-incoming", "defer"];

/// What the interface of a linked domain is plugged into.
pub fn port(bridge: &str) -> Plugged {
    Plugged {
        kind: "bridge".to_owned(),
        source: vec![("bridge".to_owned(), bridge.to_owned())],
    }
}

/// The description to create a target from: of the running domain, with its interface on this bridge.
///
/// # Errors
/// When it cannot be read, or has no such interface.
pub fn target(running: &str, mac: Mac, bridge: &str) -> Result<String> {
    let Definition(mut root) = Definition::read(running)?;
    let interface = root
        .get_mut_child("devices")
        .into_iter()
        .flat_map(|devices| &mut devices.children)
        .filter_map(XMLNode::as_mut_element)
        .find(|device| has_mac(device, mac))
        .ok_or_else(|| Error::Xml(format!("the domain has no interface {mac}")))?;
    plug(interface, &port(bridge));
    // libvirt names it anew: another domain of the target may have the name that it has here.
    interface
        .children
        .retain(|child| !matches!(child, XMLNode::Element(child) if child.name == "target"));
    wait_for_a_stream(&mut root);
    write(&root)
}

fn wait_for_a_stream(root: &mut Element) {
    let namespaces = root.namespaces.get_or_insert_with(Namespace::empty);
    namespaces.put(PREFIX, QEMU);
    let is_ours =
        |child: &XMLNode| matches!(child, XMLNode::Element(child) if child.name == "commandline");
    let at = root.children.iter().position(is_ours);
    let mut commandline = match at.map(|at| root.children.remove(at)) {
        Some(XMLNode::Element(element)) => element,
        _ => named("commandline"),
    };
    // One that came here this way has them from then.
    commandline.children.retain(|child| {
        let value = child.as_element().and_then(|arg| attribute(arg, "value"));
        !value.is_some_and(|value| WORDS.contains(&value.as_str()))
    });
    for word in WORDS {
        let mut arg = named("arg");
        arg.attributes.insert("value".to_owned(), word.to_owned());
        commandline.children.push(XMLNode::Element(arg));
    }
    root.children.push(XMLNode::Element(commandline));
}

fn named(name: &str) -> Element {
    let mut element = Element::new(name);
    element.prefix = Some(PREFIX.to_owned());
    element.namespace = Some(QEMU.to_owned());
    element
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::SAMPLE;

    fn made(from: &str) -> String {
        target(from, "52:54:00:77:00:0b".parse().unwrap(), "thb-1").unwrap()
    }

    #[test]
    fn a_target_waits_for_a_stream_on_our_bridge_and_is_the_same_otherwise() {
        let text = made(SAMPLE);
        assert!(
            text.contains("bridge=\"thb-1\"") && !text.contains("vnet0"),
            "{text}"
        );
        assert_eq!(text.matches("-incoming").count(), 1, "{text}");
        assert_eq!(text.matches("\"defer\"").count(), 1, "{text}");
        assert!(
            text.contains("-no-shutdown"),
            "the user's own words stay: {text}"
        );
        assert!(text.contains("me &amp; you"), "{text}");
        let of = |text: &str| {
            let mut found = Definition::read(text).unwrap().found().unwrap();
            found.nics.clear();
            found
        };
        assert_eq!(of(&text), of(SAMPLE));
        // Attributes come in any order.
        let parsed = |text: &str| xmltree::Element::parse(text.as_bytes()).unwrap();
        assert_eq!(
            parsed(&made(&text)),
            parsed(&made(&made(&text))),
            "there and back changes nothing"
        );
    }

    #[test]
    fn a_domain_without_a_command_line_gets_one_in_qemus_namespace() {
        let begin = SAMPLE.find("<qemu:commandline>").unwrap();
        let plain =
            format!("{}</domain>", &SAMPLE[..begin]).replace(&format!(" xmlns:qemu='{QEMU}'"), "");
        assert!(!plain.contains("qemu:"));
        let text = made(&plain);
        assert!(
            text.contains("<qemu:commandline") && text.contains(QEMU),
            "{text}"
        );
    }
}
