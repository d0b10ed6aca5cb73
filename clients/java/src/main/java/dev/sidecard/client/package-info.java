/** Asks the sidecard daemon beside you: {@code SidecardClient.create().generate("hello")}. */
package dev.sidecard.client;
