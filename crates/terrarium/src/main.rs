//! The `terrarium` command.

#![no_main]

terrarium_sys::entry!(terrarium::main);
