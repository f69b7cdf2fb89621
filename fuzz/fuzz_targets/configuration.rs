//! Configuration files; see the function in the library.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| beadle_fuzz_functions::configuration(data));
