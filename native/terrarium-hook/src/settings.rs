//! What the environment says. It is read once, at the start, and never written.

use core::ffi::{CStr, c_char};

use terrarium_wire::kind::variable;

// SAFETY: as the C library declares them.
#[link(name = "c")]
unsafe extern "C" {
    static environ: *const *const c_char;
}

/// Where a site has its spool if nobody says otherwise: a job that starts with an empty environment is recorded too.
const SITES_SPOOL: &CStr = c"/run/terrarium/spool";

/// By which launchers tell a process its rank.
const RANKS: [&str; 7] = [
    "OMPI_COMM_WORLD_RANK",
    "PMIX_RANK",
    "PMI_RANK",
    "MV2_COMM_WORLD_RANK",
    "PALS_RANKID",
    "FLUX_TASK_RANK",
    "SLURM_PROCID",
];

/// What was asked for.
pub(crate) struct Settings {
    /// The directory for the files.
    pub(crate) spool: &'static CStr,
    /// Nothing but that there was a process.
    pub(crate) opted_out: bool,
    /// Nothing but that there was a rank.
    pub(crate) only_counted: bool,
    /// The arguments of scripts too.
    pub(crate) arguments: bool,
    /// Which packages are called too.
    pub(crate) calls: bool,
    /// The values of [`variable::NAMES`].
    pub(crate) variables: [Option<&'static [u8]>; variable::NAMES.len()],
}

impl Settings {
    /// As the environment has it now.
    pub(crate) fn read() -> Self {
        let mut settings = Self {
            spool: SITES_SPOOL,
            opted_out: false,
            only_counted: false,
            arguments: false,
            calls: false,
            variables: [None; variable::NAMES.len()],
        };
        let mut every_rank = false;
        // SAFETY: the C library's own list, at the start of the process, when there is one thread.
        let mut at = unsafe { environ };
        while !at.is_null() {
            // SAFETY: a list of C strings that ends with null; they live at least as long as this function is running, and
            // what is kept of them is the spool's path, which `State` copies, and variables, which it writes at once.
            let entry = unsafe {
                let entry = at.read();
                if entry.is_null() {
                    break;
                }
                at = at.add(1);
                CStr::from_ptr(entry)
            };
            let bytes = entry.to_bytes();
            // Most variables are not for us.
            if !matches!(bytes.first(), Some(b'T' | b'S' | b'P' | b'L' | b'F' | b'O' | b'M')) {
                continue;
            }
            let mut parts = bytes.splitn(2, |&byte| byte == b'=');
            let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
            match name {
                b"TERRARIUM_SPOOL" if !value.is_empty() => {
                    settings.spool = entry
                        .to_bytes_with_nul()
                        .get(name.len() + 1..)
                        .and_then(|value| CStr::from_bytes_with_nul(value).ok())
                        .unwrap_or(SITES_SPOOL);
                }
                b"TERRARIUM_TRACK" => settings.opted_out = value == b"off",
                b"TERRARIUM_ARGUMENTS" => settings.arguments = value == b"1",
                b"TERRARIUM_CALLS" => settings.calls = value == b"1",
                b"TERRARIUM_RANKS" => every_rank = value == b"all",
                _ => {
                    let known = variable::NAMES.iter().position(|known| known.as_bytes() == name);
                    if let Some(place) = known.and_then(|index| settings.variables.get_mut(index)) {
                        *place = Some(value);
                    }
                }
            }
        }
        settings.only_counted = !every_rank && settings.rank().is_some_and(|rank| rank != b"0");
        settings
    }

    fn rank(&self) -> Option<&'static [u8]> {
        RANKS.iter().find_map(|rank| {
            let index = variable::NAMES.iter().position(|name| name == rank)?;
            self.variables.get(index).copied().flatten().filter(|value| !value.is_empty())
        })
    }
}
