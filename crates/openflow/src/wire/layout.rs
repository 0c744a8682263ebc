//! Fixed structures as a list of field names.

/// Implements [`Wire`](crate::wire::Wire) for a struct with `Default`: the fields in order, `(n)` for
/// `n` reserved bytes.
macro_rules! layout {
    ($t:ty { $($f:tt)* }) => {
        impl $crate::wire::Wire for $t {
            fn decode(
                r: &mut $crate::wire::Reader<'_>,
            ) -> Result<Self, $crate::error::DecodeError> {
                let mut v = Self::default();
                $($crate::wire::layout!(@read v r $f);)*
                Ok(v)
            }
            fn encode(&self, w: &mut $crate::wire::Writer<'_>) {
                let v = self;
                $($crate::wire::layout!(@write v w $f);)*
            }
        }
    };
    (@read $v:ident $r:ident ($n:literal)) => { $r.pad($n)?; };
    (@read $v:ident $r:ident $f:ident) => { $v.$f = $crate::wire::Wire::decode($r)?; };
    (@write $v:ident $w:ident ($n:literal)) => { $w.zeros($n); };
    (@write $v:ident $w:ident $f:ident) => { $crate::wire::Wire::encode(&$v.$f, $w); };
}
pub(crate) use layout;
