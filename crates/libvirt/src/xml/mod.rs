//! Descriptions of domains (libvirt's "Domain XML format").
//!
//! [`found`] reads what Transhume must know, [`obstacles`] names what cannot be carried, [`target()`] makes the
//! description of the same domain at a target.

mod found;
mod obstacles;
mod target;

pub use target::{port, target};

use crate::{Error, Result};
use model::Mac;
use model::libvirt::Plugged;
use xmltree::{Element, EmitterConfig, XMLNode};

/// A description that was read.
#[derive(Debug, Clone)]
pub struct Definition(Element);

impl Definition {
    /// Reads one.
    ///
    /// # Errors
    /// [`Error::Xml`].
    pub fn read(text: &str) -> Result<Self> {
        let root =
            Element::parse(text.as_bytes()).map_err(|error| Error::Xml(error.to_string()))?;
        match root.name.as_str() {
            "domain" => Ok(Self(root)),
            other => Err(Error::Xml(format!("<{other}> is no <domain>"))),
        }
    }

    /// The domain's name.
    ///
    /// # Errors
    /// When it has none.
    pub fn name(&self) -> Result<String> {
        let name = text(&self.0, "name");
        name.ok_or_else(|| Error::Xml("a domain without a name".to_owned()))
    }

    fn devices(&self) -> impl Iterator<Item = &Element> {
        let devices = self.0.get_child("devices");
        devices.into_iter().flat_map(elements)
    }

    /// The interface with this address, plugged into something else, and what it was plugged into.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn replugged(&self, mac: Mac, into: &Plugged) -> Result<(String, Plugged)> {
        let mut interface = self
            .devices()
            .find(|device| has_mac(device, mac))
            .cloned()
            .ok_or_else(|| Error::Xml(format!("the domain has no interface {mac}")))?;
        let was = plug(&mut interface, into);
        Ok((write(&interface)?, was))
    }

    /// The device alias of each disk.
    pub fn aliases(&self) -> Vec<(String, String)> {
        let disks = self.devices().filter(|device| device.name == "disk");
        let named = disks.filter_map(|disk| {
            let name = attribute(disk.get_child("target")?, "dev")?;
            Some((name, attribute(disk.get_child("alias")?, "name")?))
        });
        named.collect()
    }
}

/// Plugs an interface into something else; gives what it was plugged into.
fn plug(interface: &mut Element, into: &Plugged) -> Plugged {
    let source = interface.get_child("source");
    let mut attributes: Vec<(String, String)> = source
        .into_iter()
        .flat_map(|source| source.attributes.clone())
        // What libvirt adds while it runs.
        .filter(|(name, _)| name != "portid" && !(name == "bridge" && is_network(interface)))
        .collect();
    attributes.sort();
    let was = Plugged {
        kind: attribute(interface, "type").unwrap_or_default(),
        source: attributes,
    };
    interface
        .attributes
        .insert("type".to_owned(), into.kind.clone());
    let mut fresh = Element::new("source");
    fresh.attributes.extend(into.source.iter().cloned());
    let gone = ["source", "virtualport"];
    interface.children.retain(
        |child| !matches!(child, XMLNode::Element(child) if gone.contains(&child.name.as_str())),
    );
    interface.children.push(XMLNode::Element(fresh));
    was
}

fn is_network(interface: &Element) -> bool {
    attribute(interface, "type").as_deref() == Some("network")
}

fn has_mac(device: &Element, mac: Mac) -> bool {
    device.name == "interface" && mac_of(device) == Some(mac)
}

fn mac_of(interface: &Element) -> Option<Mac> {
    attribute(interface.get_child("mac")?, "address")?
        .parse()
        .ok()
}

fn elements(of: &Element) -> impl Iterator<Item = &Element> {
    of.children.iter().filter_map(XMLNode::as_element)
}

fn attribute(of: &Element, name: &str) -> Option<String> {
    of.attributes.get(name).cloned()
}

fn text(of: &Element, child: &str) -> Option<String> {
    let text = of.get_child(child)?.get_text()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn write(element: &Element) -> Result<String> {
    let mut bytes = Vec::new();
    let how = EmitterConfig::new().write_document_declaration(false);
    element
        .write_with_config(&mut bytes, how)
        .map_err(|error| Error::Xml(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| Error::Xml(error.to_string()))
}

#[cfg(test)]
pub(crate) const SAMPLE: &str = include_str!("sample.xml");

#[cfg(test)]
mod tests {
    use super::*;

    fn mac() -> Mac {
        "52:54:00:77:00:0b".parse().unwrap()
    }

    #[test]
    fn an_interface_is_plugged_elsewhere_and_back() {
        let definition = Definition::read(SAMPLE).unwrap();
        let ours = Plugged {
            kind: "bridge".into(),
            source: vec![("bridge".into(), "thb-1".into())],
        };
        let (text, was) = definition.replugged(mac(), &ours).unwrap();
        assert!(
            text.contains("bridge=\"thb-1\"") && text.contains("52:54:00:77:00:0b"),
            "{text}"
        );
        assert_eq!(was.kind, "bridge");
        assert_eq!(was.source, [("bridge".to_owned(), "br0".to_owned())]);
        let mut interface = Element::parse(text.as_bytes()).unwrap();
        assert_eq!(plug(&mut interface, &was), ours);
        assert!(write(&interface).unwrap().contains("bridge=\"br0\""));
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for text in ["", "<network/>", "<domain>", "no"] {
            assert!(Definition::read(text).is_err(), "{text}");
        }
        let other = "52:54:00:00:00:01".parse().unwrap();
        let into = Plugged {
            kind: "bridge".into(),
            source: Vec::new(),
        };
        let definition = Definition::read(SAMPLE).unwrap();
        assert!(definition.replugged(other, &into).is_err());
    }

    #[test]
    fn disks_are_known_by_their_aliases() {
        let definition = Definition::read(SAMPLE).unwrap();
        assert_eq!(
            definition.aliases(),
            [("vda".to_owned(), "virtio-disk0".to_owned())]
        );
    }
}
