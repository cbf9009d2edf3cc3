// A server that answers by script, and remembers what it was asked.
import { createServer } from "node:http";
import { once } from "node:events";

export async function serve(t, ...answers) {
  const asked = [];
  const server = createServer(async (req, res) => {
    let text = "";
    for await (const chunk of req) {
      text += chunk;
    }
    asked.push({ method: req.method, url: req.url, headers: req.headers, text, body: text ? JSON.parse(text) : undefined });
    const answer = answers[Math.min(asked.length, answers.length) - 1];
    await answer(req, res, asked.at(-1));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { baseUrl: `http://127.0.0.1:${server.address().port}`, asked };
}

export function say(status, body, headers = {}) {
  return (_req, res) => {
    const type = status < 400 ? "application/json" : "application/problem+json";
    res.writeHead(status, { "Content-Type": type, ...headers });
    res.end(typeof body === "string" ? body : JSON.stringify(body));
  };
}

export const hangUp = (req) => req.socket.destroy();
export const silence = () => {};

// What the server makes of a bulk request when all is well.
export const takeAll = (_req, res, asked) => {
  say(201, { data: asked.body.data.map((event) => ({ status: 201, data: { id: `chg_${event.action}` } })) })(_req, res);
};
