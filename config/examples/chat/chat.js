// The chat's page. Everything about connections, reconnects and tickets is the library's affair; what is left is this.

import { Client } from "/wsprism-client.js";

const $ = (id) => document.getElementById(id);

function show(text, from) {
  const line = document.createElement("li");
  if (from === undefined) line.className = "news";
  else line.append(Object.assign(document.createElement("b"), { textContent: from }));
  line.append(text);
  $("messages").append(line);
  line.scrollIntoView();
}

async function askTicket(user) {
  const answer = await fetch(`/ticket?user=${encodeURIComponent(user)}`, { method: "POST" });
  const { ticket, gateway, error } = await answer.json();
  if (!answer.ok) throw new Error(error);
  return { ticket, gateway };
}

$("login").onsubmit = async (event) => {
  event.preventDefault();
  const user = $("name").value;
  try {
    const { gateway } = await askTicket(user);
    await enter(
      new Client(gateway, {
        tenant: "chat",
        ticket: async () => (await askTicket(user)).ticket,
        outbox: true,
      }),
    );
  } catch (error) {
    show(error.message);
  }
};

async function enter(client) {
  client.status.subscribe((status) => {
    const isWell = status.state === "connected";
    $("status").textContent = isWell
      ? ""
      : [status.state, status.reason, status.remedy].filter(Boolean).join(": ");
  });
  const room = await client.join("chat:lobby", { presence: true, last: 50 });
  $("login").hidden = true;
  $("say").hidden = false;
  room.on("msg", ({ from, msg }) => show(msg, from));
  room.on("gap", () => show("Something may have been missed here."));
  room.on("presence", ({ event, user }) => show(event === "join" ? `${user} has come` : `${user} has left`));
  room.presence.subscribe((members) => {
    $("members").textContent = [...new Set([...members.values()].map(({ user }) => user))].join(", ");
  });
  $("say").onsubmit = async (event) => {
    event.preventDefault();
    const msg = $("text").value;
    if (msg === "") return;
    $("text").value = "";
    try {
      await room.send("send", { msg });
    } catch (error) {
      show(`Not sent (${error.code}): ${msg}`);
    }
  };
}
