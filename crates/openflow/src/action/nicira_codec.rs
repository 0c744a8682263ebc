//! OVS's actions as bytes. What precedes (type, length, experimenter) is done by the caller, as is
//! the filling with zeros up to a multiple of eight.

use super::codec::tail;
use super::nicira::{Bundle, Controller2, Multipath, NiciraAction, Sample};
use super::parts::plain_field;
use super::{BitRange, Conntrack, Learn, Nat, RegMove};
use crate::error::DecodeError;
use crate::oxm::{Field, FieldHeader, Oxm};
use crate::wire::{Reader, Wire, Writer, decode_all, encode_all};

type Result<T> = std::result::Result<T, DecodeError>;

impl NiciraAction {
    fn subtype(&self) -> u16 {
        match self {
            Self::Resubmit { .. } => 1,
            Self::SetTunnel(_) => 2,
            Self::SetQueue(_) => 4,
            Self::PopQueue => 5,
            Self::RegMove(_) => 6,
            Self::RegLoad { .. } => 7,
            Self::Note(_) => 8,
            Self::SetTunnel64(_) => 9,
            Self::Multipath(_) => 10,
            Self::Bundle(Bundle {
                destination: None, ..
            }) => 12,
            Self::Bundle(_) => 13,
            Self::ResubmitTable { .. } => 14,
            Self::OutputReg { .. } => 15,
            Self::Learn(Learn { limit: None, .. }) => 16,
            Self::Exit => 17,
            Self::DecTtl => 18,
            Self::FinTimeout { .. } => 19,
            Self::Controller { .. } => 20,
            Self::DecTtlCntIds(_) => 21,
            Self::WriteMetadata { .. } => 22,
            Self::PushMpls(_) => 23,
            Self::PopMpls(_) => 24,
            Self::SetMplsTtl(_) => 25,
            Self::DecMplsTtl => 26,
            Self::StackPush(_) => 27,
            Self::StackPop(_) => 28,
            Self::Sample(sample) => match sample.form {
                2 => 38,
                3 => 41,
                _ => 29,
            },
            Self::SetMplsLabel(_) => 30,
            Self::SetMplsTc(_) => 31,
            Self::OutputReg2 { .. } => 32,
            Self::RegLoad2(_) => 33,
            Self::Conjunction { .. } => 34,
            Self::Ct(_) => 35,
            Self::Nat(_) => 36,
            Self::Controller2(_) => 37,
            Self::OutputTrunc { .. } => 39,
            Self::Clone(_) => 42,
            Self::CtClear => 43,
            Self::ResubmitTableCt { .. } => 44,
            Self::Learn(_) => 45,
            Self::Encap { .. } => 46,
            Self::Decap { .. } => 47,
            Self::DecNshTtl => 48,
            Self::CheckPktLarger { .. } => 49,
            Self::DeleteField(_) => 50,
            Self::Unknown { subtype, .. } => *subtype,
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let subtype = r.u16()?;
        let action = match subtype {
            1 => Self::Resubmit { in_port: r.u16()? },
            2 => {
                r.pad(2)?;
                Self::SetTunnel(r.u32()?)
            }
            4 => {
                r.pad(2)?;
                Self::SetQueue(r.u32()?)
            }
            5 => fixed(r, 6, Self::PopQueue)?,
            6 => Self::RegMove(RegMove::decode(r, 0)?),
            7 => {
                let destination = BitRange::decode_packed(r)?;
                Self::RegLoad {
                    destination,
                    value: r.u64()?,
                }
            }
            8 => Self::Note(r.rest().into()),
            9 => {
                r.pad(6)?;
                Self::SetTunnel64(r.u64()?)
            }
            10 => Self::Multipath(Multipath::decode(r)?),
            12 | 13 => Self::Bundle(Bundle::decode(r, subtype == 13)?),
            14 => Self::ResubmitTable {
                in_port: r.u16()?,
                table: r.u8()?,
            },
            44 => Self::ResubmitTableCt {
                in_port: r.u16()?,
                table: r.u8()?,
            },
            15 => {
                let source = BitRange::decode_packed(r)?;
                let max_len = r.u16()?;
                fixed(r, 6, Self::OutputReg { source, max_len })?
            }
            32 => {
                let packed = r.u16()?;
                let max_len = r.u16()?;
                let source = BitRange::unpack(packed, plain_field(r)?);
                // The fixed part ends ten bytes behind max_len, whichever form the field has.
                let used = header_len(source.field);
                r.pad(10usize.saturating_sub(used))?;
                Self::OutputReg2 { source, max_len }
            }
            16 | 45 => Self::Learn(Learn::decode(r, subtype == 45)?),
            17 => fixed(r, 6, Self::Exit)?,
            18 => fixed(r, 6, Self::DecTtl)?,
            19 => Self::FinTimeout {
                idle: r.u16()?,
                hard: r.u16()?,
            },
            20 => Self::Controller {
                max_len: r.u16()?,
                controller_id: r.u16()?,
                reason: r.u8()?,
            },
            21 => {
                let count = r.u16()?;
                r.pad(4)?;
                let ids = r.sub(usize::from(count) * 2)?;
                Self::DecTtlCntIds(decode_all(&mut { ids })?)
            }
            22 => {
                r.pad(6)?;
                Self::WriteMetadata {
                    metadata: r.u64()?,
                    mask: r.u64()?,
                }
            }
            23 => Self::PushMpls(r.u16()?),
            24 => Self::PopMpls(r.u16()?),
            25 => Self::SetMplsTtl(r.u8()?),
            26 => fixed(r, 6, Self::DecMplsTtl)?,
            27 => Self::StackPush(stack(r)?),
            28 => Self::StackPop(stack(r)?),
            29 => Self::Sample(Sample::decode(r, 1)?),
            38 => Self::Sample(Sample::decode(r, 2)?),
            41 => Self::Sample(Sample::decode(r, 3)?),
            30 => {
                r.pad(2)?;
                Self::SetMplsLabel(r.u32()?)
            }
            31 => Self::SetMplsTc(r.u8()?),
            33 => {
                r.pad(6)?;
                Self::RegLoad2(Oxm::decode(r)?)
            }
            34 => Self::Conjunction {
                clause: r.u8()?,
                n_clauses: r.u8()?,
                id: r.u32()?,
            },
            35 => Self::Ct(Conntrack::decode(r)?),
            36 => Self::Nat(Nat::decode(r)?),
            37 => {
                r.pad(6)?;
                Self::Controller2(Controller2 {
                    properties: decode_all(r)?,
                })
            }
            39 => Self::OutputTrunc {
                port: r.u16()?,
                max_len: r.u32()?,
            },
            42 => {
                r.pad(6)?;
                Self::Clone(decode_all(r)?)
            }
            43 => fixed(r, 6, Self::CtClear)?,
            46 => {
                let (header_size, packet_type) = (r.u16()?, r.u32()?);
                Self::Encap {
                    header_size,
                    packet_type,
                    properties: r.rest().into(),
                }
            }
            47 => {
                r.pad(2)?;
                Self::Decap {
                    packet_type: r.u32()?,
                }
            }
            48 => fixed(r, 6, Self::DecNshTtl)?,
            49 => {
                let (packet_len, offset) = (r.u16()?, r.u16()?);
                let field = plain_field(r)?;
                r.pad(10usize.saturating_sub(header_len(field)))?;
                Self::CheckPktLarger {
                    packet_len,
                    field,
                    offset,
                }
            }
            50 => {
                let field = plain_field(r)?;
                r.pad(14usize.saturating_sub(header_len(field)))?;
                Self::DeleteField(field)
            }
            _ => Self::Unknown {
                subtype,
                data: r.rest().into(),
            },
        };
        tail(r)?;
        Ok(action)
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        w.u16(self.subtype());
        match self {
            Self::Resubmit { in_port } => {
                w.u16(*in_port);
                w.zeros(4);
            }
            Self::ResubmitTable { in_port, table } | Self::ResubmitTableCt { in_port, table } => {
                w.u16(*in_port);
                w.u8(*table);
                w.zeros(3);
            }
            Self::SetTunnel(v) | Self::SetQueue(v) | Self::SetMplsLabel(v) => {
                w.zeros(2);
                w.u32(*v);
            }
            Self::SetTunnel64(id) => {
                w.zeros(6);
                w.u64(*id);
            }
            Self::RegMove(copy) => copy.encode(w, 0),
            Self::RegLoad { destination, value } => {
                destination.encode_packed(w);
                w.u64(*value);
            }
            Self::RegLoad2(oxm) => {
                w.zeros(6);
                oxm.encode(w);
            }
            Self::Note(bytes) | Self::Unknown { data: bytes, .. } => w.bytes(bytes),
            Self::Multipath(multipath) => multipath.encode(w),
            Self::Bundle(bundle) => bundle.encode(w),
            Self::OutputReg { source, max_len } => {
                source.encode_packed(w);
                w.u16(*max_len);
                w.zeros(6);
            }
            Self::OutputReg2 { source, max_len } => {
                w.u16(source.packed());
                w.u16(*max_len);
                FieldHeader::from(source.field).encode(w);
                w.zeros(10usize.saturating_sub(header_len(source.field)));
            }
            Self::OutputTrunc { port, max_len } => {
                w.u16(*port);
                w.u32(*max_len);
            }
            Self::Learn(learn) => learn.encode(w),
            Self::PopQueue
            | Self::Exit
            | Self::DecTtl
            | Self::DecMplsTtl
            | Self::CtClear
            | Self::DecNshTtl => w.zeros(6),
            Self::DecTtlCntIds(ids) => {
                let at = w.position();
                w.u16(0);
                w.patch_u16(at, ids.len(), "dec_ttl");
                w.zeros(4);
                encode_all(ids, w);
            }
            Self::FinTimeout { idle, hard } => {
                w.u16(*idle);
                w.u16(*hard);
                w.zeros(2);
            }
            Self::Controller {
                max_len,
                controller_id,
                reason,
            } => {
                w.u16(*max_len);
                w.u16(*controller_id);
                w.u8(*reason);
                w.zeros(1);
            }
            Self::Controller2(controller) => {
                w.zeros(6);
                encode_all(&controller.properties, w);
            }
            Self::WriteMetadata { metadata, mask } => {
                w.zeros(6);
                w.u64(*metadata);
                w.u64(*mask);
            }
            Self::PushMpls(t) | Self::PopMpls(t) => {
                w.u16(*t);
                w.zeros(4);
            }
            Self::SetMplsTtl(v) | Self::SetMplsTc(v) => {
                w.u8(*v);
                w.zeros(5);
            }
            Self::StackPush(range) | Self::StackPop(range) => {
                w.u16(range.offset);
                FieldHeader::from(range.field).encode(w);
                w.u16(range.bits);
                w.zeros(10usize.saturating_sub(header_len(range.field)));
            }
            Self::Sample(sample) => sample.encode(w),
            Self::Conjunction {
                clause,
                n_clauses,
                id,
            } => {
                w.u8(*clause);
                w.u8(*n_clauses);
                w.u32(*id);
            }
            Self::Ct(ct) => ct.encode(w),
            Self::Nat(nat) => nat.encode(w),
            Self::Clone(actions) => {
                w.zeros(6);
                encode_all(actions, w);
            }
            Self::Encap {
                header_size,
                packet_type,
                properties,
            } => {
                w.u16(*header_size);
                w.u32(*packet_type);
                w.bytes(properties);
            }
            Self::Decap { packet_type } => {
                w.zeros(2);
                w.u32(*packet_type);
            }
            Self::CheckPktLarger {
                packet_len,
                field,
                offset,
            } => {
                w.u16(*packet_len);
                w.u16(*offset);
                FieldHeader::from(*field).encode(w);
                w.zeros(10usize.saturating_sub(header_len(*field)));
            }
            Self::DeleteField(field) => {
                FieldHeader::from(*field).encode(w);
                w.zeros(14usize.saturating_sub(header_len(*field)));
            }
        }
    }
}

fn fixed(r: &mut Reader<'_>, reserved: usize, action: NiciraAction) -> Result<NiciraAction> {
    r.pad(reserved)?;
    Ok(action)
}

fn header_len(field: Field) -> usize {
    if field.experimenter_id().is_some() {
        8
    } else {
        4
    }
}

fn stack(r: &mut Reader<'_>) -> Result<BitRange> {
    let offset = r.u16()?;
    let field = plain_field(r)?;
    let range = BitRange {
        field,
        offset,
        bits: r.u16()?,
    };
    r.pad(10usize.saturating_sub(header_len(range.field)))?;
    Ok(range)
}

impl Multipath {
    fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let (fields, basis) = (r.u16()?, r.u16()?);
        r.pad(2)?;
        let (algorithm, max_link, arg) = (r.u16()?, r.u16()?, r.u32()?);
        r.pad(2)?;
        let destination = BitRange::decode_packed(r)?;
        Ok(Self {
            fields,
            basis,
            algorithm,
            max_link,
            arg,
            destination,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        w.u16(self.fields);
        w.u16(self.basis);
        w.zeros(2);
        w.u16(self.algorithm);
        w.u16(self.max_link);
        w.u32(self.arg);
        w.zeros(2);
        self.destination.encode_packed(w);
    }
}

impl Bundle {
    fn decode(r: &mut Reader<'_>, load: bool) -> Result<Self> {
        let (algorithm, fields, basis) = (r.u16()?, r.u16()?, r.u16()?);
        let member_type = r.u32()?;
        let count = r.u16()?;
        let destination = if load {
            Some(BitRange::decode_packed(r)?)
        } else {
            r.pad(6)?;
            None
        };
        r.pad(4)?;
        let members = decode_all(&mut r.sub(usize::from(count) * 2)?)?;
        Ok(Self {
            algorithm,
            fields,
            basis,
            member_type,
            destination,
            members,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        w.u16(self.algorithm);
        w.u16(self.fields);
        w.u16(self.basis);
        w.u32(self.member_type);
        let at = w.position();
        w.u16(0);
        w.patch_u16(at, self.members.len(), "bundle");
        match self.destination {
            Some(destination) => destination.encode_packed(w),
            None => w.zeros(6),
        }
        w.zeros(4);
        encode_all(&self.members, w);
    }
}

impl Sample {
    fn decode(r: &mut Reader<'_>, form: u8) -> Result<Self> {
        let mut sample = Self {
            form,
            probability: r.u16()?,
            collector_set: r.u32()?,
            observation_domain: r.u32()?,
            observation_point: r.u32()?,
            ..Self::default()
        };
        if form > 1 {
            sample.sampling_port = r.u16()?;
            if form > 2 {
                sample.direction = r.u8()?;
            } else {
                r.pad(1)?;
            }
            r.pad(5)?;
        }
        Ok(sample)
    }

    fn encode(&self, w: &mut Writer<'_>) {
        w.u16(self.probability);
        w.u32(self.collector_set);
        w.u32(self.observation_domain);
        w.u32(self.observation_point);
        if self.form == 2 || self.form == 3 {
            w.u16(self.sampling_port);
            w.u8(if self.form == 3 { self.direction } else { 0 });
            w.zeros(5);
        }
    }
}
