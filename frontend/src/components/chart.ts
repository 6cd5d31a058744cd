// Charts, as pages use them.
export { colorAt, colorVar, type SeriesColor } from "./chart/palette.ts";
export { TimeChart, type ChartSeries, type TimeChartProps } from "./chart/time-chart.tsx";
