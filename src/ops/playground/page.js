// The playground's own script: two users of one gateway, made with the client library as any application is. Nothing of
// it is built; `client.js` is the library's bundle.

import { Client, hotLane, webSocket } from "./client.js";

/** Where a pointer is, over the hot lane: two numbers of 16 bits, 0 to 65535 of the field's width and height. */
const POINTER = 1;
const WIRE_MAX = 200;
const CHAT_MAX = 200;
const COLORS = ["#e0565b", "#3f83f8", "#1c9d6c", "#c27803", "#9061f9", "#d61f69"];

const facts = await (await fetch("/playground/facts.json")).json();
const tenantField = document.querySelector("#tenant");
const roomField = document.querySelector("#room");
for (const { id } of facts.tenants) tenantField.append(new Option(id, id));
// Where something is kept, there is more to see.
roomField.value = facts.tenants[0]?.kept ?? roomField.value;

function item(list, max, text, more = {}) {
  const line = document.createElement("li");
  line.textContent = text;
  const { className = "", ...data } = more;
  line.className = className;
  Object.assign(line.dataset, data);
  const isAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 4;
  list.append(line);
  while (list.children.length > max) list.firstChild.remove();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
  return line;
}

/** A WebSocket with a cable that can be cut, and somebody who looks on. */
class Cable {
  isCut = false;
  #inner = webSocket();
  #watch;
  #live = null;

  constructor(watch) {
    this.#watch = watch;
  }

  open(request, handler) {
    if (this.isCut) {
      setTimeout(() => handler.close(1006, "no cable"), 20);
      return { send() {}, close() {}, buffered: 0 };
    }
    const live = { handler, link: null };
    const isLive = () => this.#live === live;
    this.#live = live;
    live.link = this.#inner.open(request, {
      message: (data) => {
        if (!isLive()) return;
        this.#watch("in", data);
        handler.message(data);
      },
      close: (code, reason) => {
        this.#watch("in", `closed: ${code} ${reason}`);
        if (isLive() || code === 1000) handler.close(code, reason);
      },
    });
    return {
      send: (message) => {
        this.#watch("out", message);
        live.link.send(message);
      },
      close: (code) => live.link.close(code),
      get buffered() {
        return live.link.buffered;
      },
    };
  }

  /** Nothing goes through from now on. The gateway is not told: its end is dropped when it has been long forgotten. */
  cut() {
    this.isCut = true;
    const live = this.#live;
    this.#live = null;
    if (live === null) return;
    live.handler.close(1006, "the cable was cut");
    setTimeout(() => live.link.close(), 60_000);
  }
}

function describe(status) {
  switch (status.state) {
    case "connected":
      return status.resumed ? "connected, the session went on" : "connected";
    case "reconnecting": {
      if (status.at === null) return `trying again (${status.attempt}) …`;
      const seconds = Math.max(0, (status.at - Date.now()) / 1000).toFixed(1);
      return `${status.reason}; next try in ${seconds} s`;
    }
    case "closed":
      return `closed: ${status.reason} (${status.code})${status.remedy && `; ${status.remedy}`}`;
    default:
      return status.state;
  }
}

class User {
  #part;
  #client = null;
  #room = null;
  #cable;
  #pointers = new Map();
  #isDirty = true;
  #hotLine = { in: null, out: null };
  #wanted = null;

  constructor(name) {
    this.#part = document.querySelector("#user").content.cloneNode(true).firstElementChild;
    document.querySelector("main").append(this.#part);
    this.#get(".name").value = name;
    this.#cable = new Cable((way, data) => this.#onWire(way, data));
    this.#get(".connect").onclick = () => this.#client === null ? this.connect() : this.disconnect();
    this.#get(".cut").onclick = () => this.#cutOrMend();
    this.#get("form").onsubmit = (event) => {
      event.preventDefault();
      void this.#say();
    };
    this.#get("canvas").onpointermove = (event) => {
      const { offsetX, offsetY, target } = event;
      this.#wanted = [offsetX / target.clientWidth, offsetY / target.clientHeight];
    };
    setInterval(() => this.#showStatus(), 100);
    const frame = () => {
      this.#sendPointer();
      if (this.#isDirty) this.#draw();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  async connect() {
    const tenant = facts.tenants.find(({ id }) => id === tenantField.value);
    const name = this.#get(".name").value.trim() || "somebody";
    const client = this.#client = new Client(location.origin, {
      tenant: tenant.id,
      ticket: `dev:${name}`,
      hot: hotLane,
      transport: this.#cable,
    });
    this.#get(".connect").textContent = "Disconnect";
    const state = tenant.hot.find(({ kind }) => kind === "state");
    if (state !== undefined) {
      client.hot.on(state.id, (opcode, sender, payload) => this.#moved(opcode, sender, payload));
    }
    this.pointerService = state?.id;
    client.on("sys", "error", ({ code, msg }) => this.#news(`${code}: ${msg}`));
    try {
      const room = await client.join(roomField.value, {
        presence: true,
        last: 20,
        svc: tenant.chat ?? "chat",
      });
      this.#room = room;
      room.on("msg", ({ from, msg }, { offset }) => {
        item(this.#get(".chat"), CHAT_MAX, msg, { from, ...(offset === undefined ? {} : { offset }) });
      });
      room.on("gap", ({ reason }) => this.#news(`messages may have been missed (${reason})`));
      room.on("left", ({ message }) => this.#news(message));
      room.presence.subscribe((members) => {
        const names = [...members.values()].map(({ user, member }) => `${user} (${member})`);
        this.#get(".members").textContent = names.length > 0 ? `Here: ${names.join(", ")}` : "";
        for (const member of this.#pointers.keys()) if (!members.has(member)) this.#pointers.delete(member);
        this.#isDirty = true;
      });
    } catch (error) {
      if (this.#client === client) this.#news(error.message);
    }
  }

  disconnect() {
    void this.#client.dispose();
    this.#client = this.#room = null;
    this.#pointers.clear();
    this.#isDirty = true;
    this.#get(".members").textContent = "";
    this.#get(".connect").textContent = "Connect";
  }

  #get(selector) {
    return this.#part.querySelector(selector);
  }

  #cutOrMend() {
    const { isCut } = this.#cable;
    if (isCut) this.#cable.isCut = false;
    else this.#cable.cut();
    this.#news(isCut ? "the cable is whole again" : "the cable is cut");
    this.#get(".cut").textContent = isCut ? "Cut the cable" : "Mend the cable";
  }

  async #say() {
    const field = this.#get(".text");
    if (field.value === "") return;
    try {
      await this.#room.send("send", { msg: field.value });
      field.value = "";
    } catch (error) {
      this.#news(`not sent: ${this.#room === null ? "connect first" : `${error.code}: ${error.message}`}`);
    }
  }

  #news(text) {
    item(this.#get(".chat"), CHAT_MAX, text, { className: "news" });
  }

  #showStatus() {
    const status = this.#client?.status.get() ?? { state: "idle" };
    const place = this.#get(".status");
    place.dataset.state = status.state;
    const text = describe(status);
    if (place.textContent !== text) place.textContent = text;
  }

  #onWire(way, data) {
    const list = this.#get(".wire");
    const arrow = way === "in" ? "◀" : "▶";
    if (typeof data === "string") {
      this.#hotLine = { in: null, out: null };
      return item(list, WIRE_MAX, data.slice(0, 2000), { className: way, way: arrow });
    }
    // Hot frames come by the dozen: those in a row are one line with the newest of them.
    const bytes = new Uint8Array(data);
    const hex = [...bytes.slice(0, 24)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    let line = this.#hotLine[way];
    if (line === null || !line.isConnected) {
      line = this.#hotLine[way] = item(list, WIRE_MAX, "", { className: way, way: arrow, count: 0 });
    }
    line.dataset.count = Number(line.dataset.count) + 1;
    line.textContent = `${hex} × ${line.dataset.count}`;
  }

  #sendPointer() {
    if (this.#wanted === null || this.#room === null || this.pointerService === undefined) return;
    const [x, y] = this.#wanted;
    this.#wanted = null;
    const payload = new DataView(new ArrayBuffer(4));
    payload.setUint16(0, Math.min(65535, Math.max(0, x * 65535)), true);
    payload.setUint16(2, Math.min(65535, Math.max(0, y * 65535)), true);
    this.#client.hot.send(this.pointerService, POINTER, new Uint8Array(payload.buffer));
    this.#moved(POINTER, this.#room.member, new Uint8Array(payload.buffer));
  }

  #moved(opcode, sender, payload) {
    if (opcode !== POINTER || payload.length !== 4) return;
    const view = new DataView(payload.buffer, payload.byteOffset, 4);
    this.#pointers.set(sender, [view.getUint16(0, true) / 65535, view.getUint16(2, true) / 65535]);
    this.#isDirty = true;
  }

  #draw() {
    this.#isDirty = false;
    const canvas = this.#get("canvas");
    const scale = devicePixelRatio;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const draw = canvas.getContext("2d");
    draw.setTransform(scale, 0, 0, scale, 0, 0);
    draw.clearRect(0, 0, width, height);
    draw.font = "13px system-ui, sans-serif";
    const members = this.#room?.presence.get();
    for (const [member, [x, y]] of this.#pointers) {
      draw.fillStyle = COLORS[member % COLORS.length];
      draw.beginPath();
      draw.arc(x * width, y * height, 6, 0, 2 * Math.PI);
      draw.fill();
      const name = members?.get(member)?.user ?? `member ${member}`;
      const isLeft = x * width + draw.measureText(name).width + 12 > width;
      draw.textAlign = isLeft ? "right" : "left";
      draw.fillText(name, x * width + (isLeft ? -10 : 10), y * height + 4);
    }
  }
}

const users = [new User("ann"), new User("bob")];
for (const user of users) void user.connect();
/** For the console. */
globalThis.playground = { users, Client, hotLane };
