// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

// The address at which stock x402 clients look for `batch-settlement`, on every chain; abi/canonical.json lists it
// with the others for whoever prepares a ledger.
address constant CANONICAL_CHANNELS = 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003;
