// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

// The governor of the suite's few parameters is OpenZeppelin's timelock as it comes; naming it here gets it compiled
// and exported with the released contracts.
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
