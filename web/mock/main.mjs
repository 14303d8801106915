//! `npm run mock`: a made-up hub to develop against. PORT and DEVICES may be set.

import { Mock } from './server.mjs';
import { furnish, World } from './world.mjs';

const world = new World({ devices: Number(process.env.DEVICES ?? 8) });
furnish(world);
world.live();
const mock = await new Mock(world).start(Number(process.env.PORT ?? 8090));
console.log(`A made-up hub on ${mock.url}, password: ${mock.password}. Refuses: attic. Does not answer: hall.`);
