// What the deploy asks: is this process, of this version, able to answer?
import { version } from '../../version';

export const dynamic = 'force-dynamic';

export function GET() {
  return Response.json({ status: 'ok', version, pid: process.pid, instance: process.env.NODE_APP_INSTANCE ?? null });
}
