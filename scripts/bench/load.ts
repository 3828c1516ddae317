/** A caller: keeps 8 connections busy with raw calls for some seconds, then prints how many were answered 200. */
import { Agent, request } from 'node:http';

const CONNECTIONS = 8;

const [, , url = '', body = '', seconds = ''] = process.argv;
const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
const endsAt = performance.now() + Number(seconds) * 1000;

async function call(): Promise<boolean> {
  return await new Promise((resolve, reject) => {
    const sent = request(
      url,
      { agent, method: 'POST', headers: { 'Content-Type': 'application/json' } },
      (response) => {
        response.resume().on('end', () => resolve(response.statusCode === 200));
      },
    );
    sent.on('error', reject).end(body);
  });
}

async function keepCalling(): Promise<number> {
  let answered = 0;
  while (performance.now() < endsAt) if (await call()) answered += 1;
  return answered;
}

const startedAt = performance.now();
const counts = await Promise.all(Array.from({ length: CONNECTIONS }, keepCalling));
agent.destroy();
const answered = counts.reduce((sum, count) => sum + count, 0);
console.log(answered / ((performance.now() - startedAt) / 1000));
