//! Answers, and what each code means for the person.

use super::Request;
use crate::publish::Answer;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::tsig::TsigError;

impl Request {
    /// What the answer to an update means.
    pub fn updated(self, bytes: &[u8]) -> Answer {
        let message = match self.checked(bytes) {
            Ok(message) => message,
            Err(answer) => return answer,
        };
        match message.metadata.response_code {
            ResponseCode::NoError => Answer::Done,
            ResponseCode::YXDomain
            | ResponseCode::YXRRSet
            | ResponseCode::NXRRSet
            | ResponseCode::NXDomain => Answer::Unmet,
            code => failed(sentence(code), false),
        }
    }

    /// The text of the marker that was asked for; nothing where there is none.
    ///
    /// # Errors
    /// What the answer means instead.
    pub fn marker(self, bytes: &[u8]) -> Result<Option<String>, Answer> {
        let message = self.checked(bytes)?;
        match message.metadata.response_code {
            ResponseCode::NXDomain => return Ok(None),
            ResponseCode::NoError if message.metadata.authoritative => {}
            ResponseCode::NoError => {
                return Err(failed(sentence(ResponseCode::NotAuth), false));
            }
            code => return Err(failed(sentence(code), false)),
        }
        let texts = message
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(txt) => {
                    Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned())
                }
                _ => None,
            });
        let texts: Vec<String> = texts.collect();
        // Several cannot be a marker of ours, whatever they say.
        Ok((!texts.is_empty()).then(|| texts.join(" and ")))
    }

    /// The answer, if it is one to this request and signed as the request was.
    fn checked(mut self, bytes: &[u8]) -> Result<Message, Answer> {
        let strange = |what: &str| failed(format!("the server's answer {what}"), true);
        let message = Message::from_vec(bytes).map_err(|_| strange("is no DNS message"))?;
        if message.metadata.id != self.id || message.metadata.message_type != MessageType::Response
        {
            return Err(strange("is none to what was sent"));
        }
        let Some(verifier) = &mut self.verifier else {
            return Ok(message);
        };
        // A server that does not know the key, or not the time, cannot sign; it has not done it either.
        let signature = message.signature();
        if let Some(error) = signature.and_then(|record| record.data.error) {
            return Err(failed(refusal(error), false));
        }
        let code = message.metadata.response_code;
        if signature.is_none() && code != ResponseCode::NoError {
            return Err(failed(sentence(code), false));
        }
        if signature.is_none() {
            return Err(strange(
                "is not signed, though the request was: check that it is the zone's own server",
            ));
        }
        match verifier.verify(bytes) {
            Ok(_) => Ok(message),
            Err(_) => Err(strange(
                "is not signed with our key: check the key's secret on both sides",
            )),
        }
    }
}

fn failed(why: String, unsure: bool) -> Answer {
    Answer::Failed { why, unsure }
}

/// RFC 8945, section 5.2.
fn refusal(error: TsigError) -> String {
    match error {
        TsigError::BadKey => {
            "the server does not know our key: correct `key` and `algorithm`, or add the key there"
                .to_owned()
        }
        TsigError::BadSig => {
            "the server has another secret for our key: correct the file of `key_file`".to_owned()
        }
        TsigError::BadTime => {
            "the server's clock and ours are more than five minutes apart: set them right"
                .to_owned()
        }
        error => format!(
            "the server refuses our signature (error {})",
            u16::from(error)
        ),
    }
}

fn sentence(code: ResponseCode) -> String {
    match code {
        ResponseCode::Refused => {
            "the server refuses the update: allow our key, or this machine, to update the zone there".to_owned()
        }
        ResponseCode::NotAuth => {
            "the server is not the zone's own, or does not take our signature: correct `zone`, `servers` and `key`".to_owned()
        }
        ResponseCode::NotZone => "a name is outside the server's zone: correct `zone`".to_owned(),
        ResponseCode::NotImp => "the server takes no updates: name the zone's primary in `servers`".to_owned(),
        ResponseCode::ServFail => {
            "the server cannot do it now (SERVFAIL): its log says why, often a journal that it cannot write".to_owned()
        }
        ResponseCode::FormErr => "the server does not understand the update (FORMERR)".to_owned(),
        code => format!("the server answers with error {}", u16::from(code)),
    }
}
