// What a deploy asks of every worker before it goes on.
import { version } from '../../../package.json';

export const GET = () => Response.json({ status: 'ok', version, pid: process.pid });
