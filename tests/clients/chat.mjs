// Two xmpp.js clients: one over WebSocket, one over TCP with STARTTLS, on two edges. Reads a job, prints one JSON line.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.CHAT_MODULES + "/");
globalThis.WebSocket ??= require("ws");
const { client, xml } = await import(pathToFileURL(require.resolve("@xmpp/client")));
const job = JSON.parse(readFileSync(0, "utf8"));

function login(service, [username, domain], password) {
  const one = client({ service, domain, username, password, resource: "js" });
  const stanzas = [];
  const waiting = [];
  one.mechanisms = [];
  one.on("send", (element) => {
    if (element.is("authenticate")) one.mechanisms.push(element.attrs.mechanism);
  });
  one.reconnect.stop();
  one.on("error", (error) => {
    console.error(service, error);
    process.exit(1);
  });
  one.on("stanza", (stanza) => {
    stanzas.push(stanza);
    for (const wake of waiting.splice(0)) wake();
  });
  one.until = async (wanted) => {
    for (;;) {
      const index = stanzas.findIndex(wanted);
      if (index >= 0) return stanzas.splice(index, 1)[0];
      await new Promise((wake) => waiting.push(wake));
    }
  };
  return one;
}

const timer = setTimeout(() => {
  console.error("timed out");
  process.exit(1);
}, 60_000);
const [one, other] = job.people.map(({ service, jid, password }) => login(service, jid.split("@"), password));
const jids = (await Promise.all([one.start(), other.start()])).map(String);
const seen = { bound: jids, got: [] };
await one.send(xml("presence"));
await other.send(xml("presence"));
await one.until((stanza) => stanza.is("presence") && stanza.attrs.from === jids[0]);
await other.until((stanza) => stanza.is("presence") && stanza.attrs.from === jids[1]);
for (let number = 0; number < 20; number++) {
  await one.send(xml("message", { to: jids[1].split("/")[0], type: "chat" }, xml("body", {}, `hello ${number} 🐦`)));
  const there = await other.until((stanza) => stanza.is("message"));
  seen.got.push(there.getChildText("body"));
  await other.send(xml("message", { to: there.attrs.from, type: "chat" }, xml("body", {}, `answer ${number}`)));
  const back = await one.until((stanza) => stanza.is("message"));
  seen.got.push(back.getChildText("body"));
}
const roster = await one.iqCaller.request(xml("iq", { type: "get" }, xml("query", "jabber:iq:roster")));
seen.roster = roster.attrs.type;
const pong = await other.iqCaller.request(xml("iq", { type: "get", to: "localhost" }, xml("ping", "urn:xmpp:ping")));
seen.ping = pong.attrs.type;
// A room that one makes and both talk in; then the other leaves, and one hears of it.
const room = `garden${Date.now()}@conference.localhost`;
const muc = "http://jabber.org/protocol/muc";
const inRoom = (stanza, nick) => stanza.is("presence") && stanza.attrs.from === `${room}/${nick}`;
const codes = (stanza) =>
  (stanza.getChild("x", `${muc}#user`)?.getChildren("status") ?? []).map((status) => status.attrs.code);
const enter = async (who, nick) => {
  await who.send(xml("presence", { to: `${room}/${nick}` }, xml("x", muc)));
  return codes(await who.until((stanza) => inRoom(stanza, nick) && codes(stanza).includes("110")));
};
seen.created = (await enter(one, "one")).includes("201");
const form = xml("x", { xmlns: "jabber:x:data", type: "submit" });
await one.iqCaller.request(xml("iq", { type: "set", to: room }, xml("query", `${muc}#owner`, form)));
await enter(other, "other");
await one.until((stanza) => inRoom(stanza, "other"));
seen.room = { one: [], other: [] };
for (let number = 0; number < 10; number++) {
  for (const who of [one, other]) {
    const body = xml("body", {}, `${who === one ? "one" : "other"} ${number}`);
    await who.send(xml("message", { to: room, type: "groupchat" }, body));
  }
}
for (const [name, who] of [["one", one], ["other", other]]) {
  while (seen.room[name].length < 20) {
    const said = await who.until((stanza) => stanza.attrs.type === "groupchat" && stanza.getChild("body"));
    seen.room[name].push(said.getChildText("body"));
  }
}
await other.send(xml("presence", { to: `${room}/other`, type: "unavailable" }));
seen.left = (await one.until((stanza) => inRoom(stanza, "other") && stanza.attrs.type === "unavailable")).attrs.type;
// Both come back, with the tokens that they were given (XEP-0484): the second time in one step.
for (const who of [one, other]) {
  await who.stop();
  await who.start();
}
seen.mechanisms = [one.mechanisms, other.mechanisms];
await Promise.all([one.stop(), other.stop()]);
clearTimeout(timer);
console.log(JSON.stringify(seen));
process.exit(0);
