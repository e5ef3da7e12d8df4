import Link from 'next/link';
import Counter from './counter';
import { version } from './version';

export default function Home() {
  return (
    <main>
      <h1>
        Hello from the <span id="version">{version}</span> version
      </h1>
      <Counter />
      <p>
        <Link href="/isr">A page that is made again every two seconds</Link>
      </p>
    </main>
  );
}
